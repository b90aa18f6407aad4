/**
 * What configures a TAP in a namespace that exists already: a part of a shell script for any POSIX `sh`.
 *
 * It is told in words what is wanted, sets `lo` and the interface up, and says nothing unless something fails. All of
 * it is one `ip`, because starting programs is most of what it costs; that of busybox, which takes no batch, is started
 * once a line. Addresses are announced (`arp_notify`, of IPv4 those that are there when the interface comes up;
 * `ndisc_notify`), so that the gateway knows whither clients of forwards go. Nobody else is on the link, so addresses
 * are there without duplicate address detection, if /proc/sys can be written; if not, IPv6 needs its second, and all
 * else is the same.
 *
 * **IPv6** is a fixed address with a route that is given or is learnt, or made up by the kernel of the gateway's
 * advertisements, which are taken even if the namespace forwards packets, or switched off, or left as it is.
 *
 * @module
 */
import { isGatewayBeyond } from "../nat/rules/network_plan.ts";
import type { Segment } from "../nat/rules/segment.ts";

/** How a TAP in a namespace is configured. */
export interface TapConfiguration {
  /** Its name. */
  readonly name: string;
  /** MTU in bytes; `undefined`: it is left down, for somebody else to configure. */
  readonly mtu: number | undefined;
  /** Its MAC address, if it is to have another than the kernel gives it. */
  readonly mac?: string | undefined;
  /** Address and prefix length of IPv4; `undefined`: none. */
  readonly address?: string | undefined;
  /** The router of IPv4, if there is an address; with ` onlink` behind it if the subnet does not hold it. */
  readonly gateway?: string | undefined;
  /** Address and prefix length of IPv6, or how else it comes to one. */
  readonly address6: string | "automatic" | "off" | "untouched";
  /** The router of IPv6, written as that of IPv4, if it is not to be learnt by advertisements. */
  readonly gateway6?: string | undefined;
}

/** `TapConfiguration.gateway` of this network: the gateway, told to be on the link if the subnet does not say that. */
export function routerOf(segment: Segment): string {
  return isGatewayBeyond(segment) ? `${segment.gateway} onlink` : `${segment.gateway}`;
}

/** The words that `CONFIGURE_TAP` takes, from `$1` on. */
export function tapWords(
  { name, mtu, mac = "", address = "", gateway = "", address6, gateway6 = "" }: TapConfiguration,
): string[] {
  return [name, `${mtu ?? ""}`, mac, address, gateway, address6, gateway6];
}

/** Configures the interface. Its complaints go to stderr, and then it exits. */
export const CONFIGURE_TAP = `
PATH=$PATH:/usr/sbin:/sbin
conf=/proc/sys/net/ipv6/conf/$1 nodad=
configure() {
  { echo "$2" >"$conf/$1"; } 2>&-
}
configure ../../../ipv4/conf/$1/arp_notify 1
case $6 in
  off) configure disable_ipv6 1 ;;
  untouched) ;;
  *)
    configure disable_ipv6 0
    configure accept_ra $([ "$7" ] && echo 0 || echo 2)
    configure ndisc_notify 1
    configure accept_dad 0 || nodad=nodad
    [ "$6" = automatic ] || configure autoconf 0
    ;;
esac
lines="link set lo up"
[ -z "$2$3" ] || lines="$lines
link set $1\${2:+ mtu $2}\${3:+ address $3}"
[ -z "$4" ] || lines="$lines
addr add $4 broadcast + dev $1"
[ -z "$2" ] || lines="$lines
link set $1 up"
[ -z "$4" ] || lines="$lines
route add default via $5 dev $1"
case $6 in */*) lines="$lines
addr add $6 dev $1 $nodad" ;; esac
[ -z "$7" ] || lines="$lines
route add ::/0 via $7 dev $1"
if ! why=$(echo "$lines" | ip -batch - 2>&1); then
  case $why in *"Command failed"*) echo "$why" && exit 125 ;; esac
  echo "$lines" | while read -r words; do ip $words || exit 125; done || exit 125
fi
`;
