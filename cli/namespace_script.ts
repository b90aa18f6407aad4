/**
 * What runs on the other side of `unshare`: a shell script for any POSIX `sh` (dash, busybox, bash).
 *
 * **The holder** is the shell that `unshare` becomes. It holds the new namespaces from the first moment to the last:
 *
 * 1. It opens /dev/net/tun, because the interface that Hawser makes of it appears where it was opened.
 * 2. It sets addresses, routes and resolver as soon as the gateway serves the interface.
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
 * **IPv6.** Nobody else is on the link, so eth0 has its addresses without duplicate address detection, which would
 * take a second. Its default route comes and goes by the gateway's router advertisements, as the host's does. The
 * kernel asks for one as soon as the interface is up, and mostly has it before the resolver is set. If it is late, and
 * the line that lets the holder proceed says `proceed route`, the holder adds one that the kernel forgets after two
 * seconds, so that COMMAND is not without. Addresses are not made up from advertisements, since there is one already.
 * If /proc/sys cannot be written, as in some containers, the address alone is without detection and the rest takes its
 * second. A kernel without IPv6 is no failure while there is IPv4: `hawser:lacking` says so.
 *
 * **Announcing itself.** The kernel tells both addresses when they are there (`arp_notify`, `ndisc_notify`), so that
 * the gateway knows whither clients of forwards go.
 *
 * **One `ip`** does all of it, because starting programs is most of what this costs. That of busybox takes one command
 * at a time.
 *
 * **Leaving no trace.** resolv.conf comes from a tmpfs that exists in this mount namespace only, so no file has to be
 * removed: it is mounted on /tmp for as long as it takes to bind its one file elsewhere.
 *
 * @module
 */

import { ROUTER_LINK_LOCAL } from "../nat/rules/segment.ts";

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

/**
 * `sh -c SETUP hawser ADDRESS/PREFIX GATEWAY MTU RESOLVER ADDRESS6/PREFIX`: steps 1 and 2. An empty RESOLVER means
 * none, an empty ADDRESS that the family is left out.
 */
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
conf=/proc/sys/net/ipv6/conf/eth0 address6=$5 nodad=
configure() {
  { echo "$2" >"$conf/$1"; } 2>&-
}
configure ../../../ipv4/conf/eth0/arp_notify 1
if [ "$address6" ]; then
  configure disable_ipv6 0
  disabled=1
  [ -r "$conf/disable_ipv6" ] && read -r disabled <"$conf/disable_ipv6"
  if [ "$disabled" = 0 ]; then
    configure accept_ra 2
    configure autoconf 0
    configure ndisc_notify 1
    configure accept_dad 0 || nodad=nodad
  elif [ "$1" ]; then
    echo hawser:lacking
    address6=
  else
    echo "this kernel has no IPv6 here"
    exit 125
  fi
else
  configure disable_ipv6 1
fi
lines="link set lo up"
[ -z "$1" ] || lines="$lines
addr add $1 dev eth0"
lines="$lines
link set eth0 mtu $3 up"
[ -z "$1" ] || lines="$lines
route add default via $2 dev eth0"
[ -z "$address6" ] || lines="$lines
addr add $address6 dev eth0 $nodad"
if ! why=$(echo "$lines" | ip -batch - 2>&1); then
  case $why in *"Command failed"*) echo "$why" && exit 125 ;; esac
  echo "$lines" | while read -r words; do ip $words || exit 125; done || exit 125
fi
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
has_route() {
  while read -r destination prefix rest; do
    [ "$prefix" = 00 ] && [ "\${rest##* }" = eth0 ] && return
  done </proc/net/ipv6_route
}
if [ "$address6" ] && [ "$answer" = "proceed route" ] && ! has_route; then
  ip route add ::/0 via ${ROUTER_LINK_LOCAL} dev eth0 metric 2048 expires 2
fi
`;

/** `sh -c HOLD hawser ADDRESS/PREFIX GATEWAY MTU RESOLVER ADDRESS6/PREFIX`. */
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
