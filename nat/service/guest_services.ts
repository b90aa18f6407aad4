/**
 * The services of the gateway that guests may have to do without, because somebody else configures them.
 *
 * @module
 */

/** `dhcp` and `dhcpv6`: requests have no answer. `router`: nothing is advertised, asked or not. */
export type GuestService = "dhcp" | "dhcpv6" | "router";
