/**
 * What runs on the other side of `unshare`: a shell script for any POSIX `sh` (dash, busybox, bash).
 *
 * **The holder** is the shell that `unshare` becomes. It holds the new namespaces from the first moment to the last:
 *
 * 1. It opens /dev/net/tun, because the interface that Hawser makes of it appears where it was opened.
 * 2. It sets addresses, route and resolver as soon as the gateway serves the interface.
 * 3. It waits. COMMAND is no child of it: Hawser starts that in the namespaces of the holder.
 * 4. When its socket ends, because Hawser closes it or dies, by whatever signal, it kills everything in its network
 *    namespace, until there is nothing, and ends. Its end is in turn the end of the socket for Hawser.
 *
 * **Descriptors.** 0, 1 and 2 are one socket to Hawser, so that whatever `unshare`, `ip` or `mount` complain about
 * reaches Hawser as lines of text. 3 is /dev/net/tun. It has nothing of the user's, no terminal either: it leads a
 * session of its own.
 *
 * **Protocol.** A line `hawser:STEP` says what is done next; any other line is a complaint. If the holder dies, it has
 * failed at the last step announced. After `hawser:ready` it waits for a line, which comes when the interface exists
 * and the gateway serves it. The line `end` says that COMMAND has ended. Without it Hawser has died, perhaps while
 * COMMAND was about to enter the namespace: so the holder looks again a second later.
 *
 * **Names.** Many C libraries ask a service of the host at a path socket before they ask DNS, or instead (nscd,
 * systemd-resolved, avahi, sssd). Such names would come from the host's resolver, whatever Hawser was told. So these
 * sockets are covered: with /dev/null in their place, connecting is refused, as if the service did not run, and the
 * library goes on to DNS. Sockets are covered and not their folders, in which files lie that are needed.
 *
 * **Leaving no trace.** resolv.conf comes from a tmpfs that exists in this mount namespace only, so no file has to be
 * removed: it is mounted on /tmp for as long as it takes to bind its one file elsewhere.
 *
 * @module
 */

/**
 * Sockets of the host by which a C library resolves names without DNS, and the word that brings it there in the line
 * `hosts:` of nsswitch.conf. Where there is none, it goes there anyway, or nothing but host names is asked there. The
 * others know users too, and so are covered only if hosts are asked there.
 */
const NAME_SOCKETS: readonly (readonly [path: string, service?: string])[] = [
  ["/run/nscd/socket"],
  ["/var/run/nscd/socket"],
  ["/run/systemd/resolve/io.systemd.Resolve"],
  ["/run/systemd/machine/io.systemd.Machine"],
  ["/run/avahi-daemon/socket"],
  ["/var/run/avahi-daemon/socket"],
  ["/var/lib/sss/pipes/nss", "sss"],
  ["/run/nslcd/socket", "ldap"],
  ["/var/run/nslcd/socket", "ldap"],
  ["/run/samba/winbindd/pipe", "wins"],
  ["/var/run/samba/winbindd/pipe", "wins"],
];

const COVER_NAME_SOCKETS = NAME_SOCKETS.map(([path, service = ""]) => `cover ${path} ${service}`).join("\n");

/** The descriptor of /dev/net/tun in the holder. */
export const TUN_FD = 3;

/** `sh -c SETUP hawser ADDRESS/PREFIX GATEWAY MTU RESOLVER`; an empty RESOLVER means none. Steps 1 and 2. */
export const SETUP = `
trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2 ALRM PIPE
PATH=$PATH:/usr/sbin:/sbin
echo hawser:tun
[ -c /dev/net/tun ] || exit 125
exec ${TUN_FD}<>/dev/net/tun
echo hawser:ready
read -r answer || exit 125
exec ${TUN_FD}>&-
echo hawser:address
ip link set lo up && ip link set eth0 mtu "$3" up && ip addr add "$1" dev eth0 && ip route add default via "$2" || exit 125
echo hawser:resolver
if file=$(readlink -f /etc/resolv.conf) && [ -f "$file" ]; then
  umask 022
  mount -t tmpfs -o size=64k,mode=755 hawser /tmp && echo "\${4:+nameserver $4}" >/tmp/resolv.conf &&
    mount --bind /tmp/resolv.conf "$file" && umount /tmp || exit 125
else
  echo hawser:unresolved
fi
hosts=
[ -r /etc/nsswitch.conf ] && while read -r database services; do
  case $database in hosts:*) hosts=" \${database#hosts:} $services " ;; esac
done </etc/nsswitch.conf
cover() {
  [ -S "$1" ] || return 0
  case "$hosts" in *" $2 "* | *" $2["*) ;; *) [ -z "$2" ] || return 0 ;; esac
  mount --bind /dev/null "$1" || exit 125
}
${COVER_NAME_SOCKETS}
`;

/** `sh -c HOLD hawser ADDRESS/PREFIX GATEWAY MTU RESOLVER`. */
export const HOLD = `${SETUP}
echo hawser:run
last=
while read -r line; do last=$line; done
end_everything() {
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
}
end_everything
[ "$last" = end ] && exit
sleep 1
end_everything
`;

/** `sh -c DIAGNOSE`: what may explain a refusal, a line `NAME=VALUE` each. */
export const DIAGNOSE = `
for name in user/max_user_namespaces kernel/unprivileged_userns_clone kernel/apparmor_restrict_unprivileged_userns; do
  value=$(cat "/proc/sys/$name" 2>/dev/null) && echo "$name=$value"
done
[ -c /dev/net/tun ] || echo tun=absent
PATH=$PATH:/usr/sbin:/sbin
for name in unshare nsenter ip mount; do
  command -v "$name" >/dev/null || echo "$name=absent"
done
`;
