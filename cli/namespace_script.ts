/**
 * What runs on the other side of `unshare`: shell scripts for any POSIX `sh` (dash, busybox, bash).
 *
 * **Descriptors.** 0 and 1 are the user's. 3 is the control socket, and so is 2 until COMMAND starts, so that whatever `unshare`, `ip`
 * or `mount` complain about reaches Hawser as lines of text; the user's stderr waits at 4. 9 is /dev/net/tun, opened inside the
 * namespace because the interface that Hawser makes of it appears where it was opened.
 *
 * **Protocol.** A line `hawser:STEP` says what is done next; any other line is a complaint. Whoever dies has failed at the last step
 * announced. After `hawser:ready` the shell waits for a line, which comes when the interface exists and the gateway
 * serves it; the end of the socket instead of a line ends the shell.
 *
 * **The watcher** outlives the shell's `exec`. It is forked twice, so that COMMAND has no child it did not start, has a session of its
 * own, and holds nothing but the control socket. It sees the end of that socket when Hawser closes it or dies, by whatever
 * signal; then it kills everything in its network namespace, until there is nothing, and ends. Its end is in turn the end of
 * the socket for Hawser.
 *
 * **Leaving no trace.** Assignments, PATH and umask change in subshells alone. resolv.conf comes from a tmpfs that exists in this mount
 * namespace only, so no file has to be removed: it is mounted on /tmp for as long as it takes to bind its one file elsewhere.
 *
 * @module
 */

/** `sh -c ENTER hawser UNSHARE-ARGUMENTS…`: brings the descriptors in order, then becomes `unshare`. */
export const ENTER = `unset DENO_EXTRA_STDIO_FDS; exec unshare "$@" 4>&2 2>&3`;

/** `sh -c WATCH hawser`: see the watcher above. */
export const WATCH = `
while read -r line <&3; do :; done
rounds=0
while :; do
  found=
  for process in /proc/[0-9]*; do
    [ "$process/ns/net" -ef /proc/self/ns/net ] || continue
    [ "$process" = "/proc/$$" ] && continue
    kill -KILL "\${process#/proc/}" && found=1
  done
  [ "$found" ] || break
  rounds=$((rounds + 1))
  [ "$rounds" -gt 50 ] && sleep 1
done
`;

/** `sh -c CONFIGURE hawser WATCH ADDRESS/PREFIX GATEWAY MTU RESOLVER COMMAND ARG…`; an empty RESOLVER means none. */
export const CONFIGURE = `
echo hawser:tun >&3
[ -c /dev/net/tun ] || exit 125
exec 9<>/dev/net/tun
echo hawser:ready >&3
read -r hawser_answer <&3 || exit 125
unset hawser_answer
(
  trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2 ALRM PIPE
  exec 4>&- 9>&- </dev/null >/dev/null 2>&1
  cd /
  if command -v setsid; then setsid sh -c "$1" hawser & else sh -c "$1" hawser & fi
)
(
  PATH=$PATH:/usr/sbin:/sbin
  exec 4>&- 9>&- </dev/null >&3
  echo hawser:address
  ip link set lo up && ip link set eth0 mtu "$4" up && ip addr add "$2" dev eth0 && ip route add default via "$3" || exit 125
  echo hawser:resolver
  if file=$(readlink -f /etc/resolv.conf) && [ -f "$file" ]; then
    umask 022
    mount -t tmpfs -o size=64k,mode=755 hawser /tmp && echo "\${5:+nameserver $5}" >/tmp/resolv.conf &&
      mount --bind /tmp/resolv.conf "$file" && umount /tmp || exit 125
  else
    echo hawser:unresolved
  fi
) || exit 125
shift 5
echo hawser:command >&3
(
  case $1 in
    */*)
      [ -e "$1" ] || exit 127
      [ -f "$1" ] && [ -x "$1" ] || exit 126
      ;;
    *)
      set -f
      IFS=:
      code=127
      for folder in $PATH; do
        [ -f "\${folder:-.}/$1" ] || continue
        [ -x "\${folder:-.}/$1" ] && exit 0
        code=126
      done
      exit "$code"
      ;;
  esac
) || exit
echo hawser:run >&3
exec 2>&4 3>&- 4>&- 9>&-
exec "$@"
`;

/** `sh -c DIAGNOSE`: what may explain a refusal, a line `NAME=VALUE` each. */
export const DIAGNOSE = `
for name in user/max_user_namespaces kernel/unprivileged_userns_clone kernel/apparmor_restrict_unprivileged_userns; do
  value=$(cat "/proc/sys/$name" 2>/dev/null) && echo "$name=$value"
done
[ -c /dev/net/tun ] || echo tun=absent
for name in unshare ip mount; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null || echo "$name=absent"
done
`;
