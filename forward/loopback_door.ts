/**
 * Ways to the loopback addresses of a guest's namespace, which nobody outside of it can connect to. Whoever can act
 * inside has a door (`cli/loopback_door.ts`); forwards lead to where its ways begin.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import type { ForwardProtocol } from "./port_spec.ts";

/** Where programs listen that mean those beside them. */
export const LOOPBACK_IPV4: IpAddress = IpAddress.parse("127.0.0.1");
/** The same of IPv6. */
export const LOOPBACK_IPV6: IpAddress = IpAddress.parse("::1");

/** A socket that listens, or one of UDP that is bound and not connected. */
export interface Listening {
  /** Its transport. */
  readonly protocol: ForwardProtocol;
  /** Its address: `::` or `0.0.0.0` stand for every one. */
  readonly address: IpAddress;
  /** Its port. */
  readonly port: number;
}

/** A way to one port of loopback. */
export interface LoopbackWay {
  /** Resolves to the port of the guest, at any of its addresses, where it begins. Rejects if there is none. */
  readonly begins: Promise<number>;
  /** Closes it, also while it is being opened. Connections of TCP go on. May be called again. */
  close(): void;
}

/** Who opens ways to the loopback addresses of a namespace. */
export interface LoopbackDoor {
  /** Opens a way to this loopback address and port; connections of TCP that it refuses go to `otherwise`. */
  open(listening: Listening, otherwise?: IpAddress): LoopbackWay;
  /** Whether the door itself listens there. */
  isOwn(listening: Listening): boolean;
}
