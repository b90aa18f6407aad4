/**
 * A packet of a guest whose headers were checked: the one shape in which an input hands it on, whatever its family.
 *
 * @module
 */
import { FlowKey } from "../flow/flow_key.ts";

/** A checked packet. An input has one and fills it for each; what is in it is valid until the receiver returns. */
export class Packet {
  /** The buffer. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the IP header. */
  ip = 0;
  /** Offset of the transport header. */
  transport = 0;
  /** Offset of the payload behind the transport header; for ICMP that of the message. */
  payload = 0;
  /** Offset after the last byte. */
  end = 0;
  /** Guest, protocol, both addresses and ports; ICMP echo has its identifier as the guest's port. */
  readonly key: FlowKey = new FlowKey();
}
