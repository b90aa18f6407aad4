/**
 * Frame scripts: what a guest sends and what its host does, a line each, as text that people write and the fuzzer too.
 *
 * A line is a verb, words and `name=value` fields; `#` begins a comment. The verbs:
 *
 * | verb      | what                                                                                                           |
 * | --------- | -------------------------------------------------------------------------------------------------------------- |
 * | `options` | how the gateway is set up, as the first line: `maxFlows`, `maxNewFlows`, `maxBufferBytes`, `receiveLimit`, |
 * |           | `sendLimit`, `mtu`, `dns`, `families`, `nat64=yes`, `hostLoopback=no`, `hostAddresses=no`, `shared=yes`, |
 * |           | `offload=yes`, `audit=no`, `decide=no`; `allowName=NAME` alone is allowed, and `bound` to an address for |
 * |           | `namesTtl` seconds |
 * | `tcp`     | a segment: flags (`SYN,ACK`), `seq` and `ack` as distance from the expected (`+5`, `-1`; `seq=edge+1`: from the |
 * |           | window's edge), `len` or `text`, `win`, `opts` in hexadecimal, `port` of the guest, `to=ADDRESS:PORT`          |
 * | `udp`     | a datagram: `port`, `to`, `len`, `text` or `hex`; `length` for the field of the header                         |
 * | `icmp`    | `type`, `code`, `hex` for what follows the checksum; ICMPv6 if the addresses are                               |
 * | `arp`     | `op`, `sender`, `target`, `senderMac`                                                                          |
 * | `dhcp`    | `type`, `operation`, `requested`, `server`, `client`                                                           |
 * | `ip`      | any packet: `protocol`, `len` or `hex`                                                                         |
 * | `ether`   | any frame: `type`, `len` or `hex`                                                                              |
 * | `frame`   | the bytes of a frame in hexadecimal; `vouched`: the link answers for its checksum                              |
 * | `host`    | `accept`, `refuse [ERROR]`, `send`, `eof`, `reset`, `budget=N`; `udp-send`, `udp-refuse` with `from`,          |
 * |           | `udp-takes takes=no`, `udp-open error=ERROR`; `echo-reply` with `from`, `echo-fail error=ERROR`, |
 * |           | `echo-takes takes=no`; `socket=N` for another than the latest; `client` with `from` and `to=PORT`, |
 * |           | `at=ADDRESS`: one that comes to a forward; `route`, `route gone`: its default route for IPv6 |
 * | `guest`   | another one, on a link of its own: `attach`, `speak` and `answer` (ARP, or neighbour discovery) from `sender`, |
 * |           | `leave`; `guest=N` for another than the latest                                                                                        |
 * | `link`    | `full` or `ok`; `gone`: it has ended                                                                           |
 * | `wait`    | milliseconds that pass                                                                                         |
 * | `expect`  | `NAME=N`: a counter since the beginning; `state=NAME` of the latest connection, `none` where there is none     |
 *
 * A packet is of the family of its addresses (`to=[fd00::2]:80`), or of `family=6` between mapped ones. Every frame
 * also takes `src`, `dst`, `fromMac`, `toMac`, `ipopts`, `ext` (extension headers of IPv6 as `TYPE:HEX`, joined by
 * commas), `frag` (flags and offset as one hexadecimal word), `id`, `ttl`; `patch=AT:HEX` overwrites bytes and makes
 * the checksums right again, `set=AT:HEX` leaves them; `cut=N` keeps N bytes; `times=N` sends N of them, the port
 * growing by `portStep` and seq by `seqStep`.
 *
 * @module
 */

/** One line. */
export interface Action {
  readonly verb: string;
  readonly words: readonly string[];
  readonly fields: ReadonlyMap<string, string>;
  /** The line as it was written. */
  readonly line: string;
}

/** Verbs that send a frame. */
export const FRAME_VERBS: ReadonlySet<string> = new Set(["tcp", "udp", "icmp", "arp", "dhcp", "ip", "ether", "frame"]);
const VERBS: ReadonlySet<string> = new Set([...FRAME_VERBS, "options", "host", "guest", "link", "wait", "expect"]);

/** The lines of a script that say something. Throws a `SyntaxError` for a verb that is none. */
export function parseScript(text: string): Action[] {
  return text.split("\n").map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter((line) => line !== "").map(
    parseLine,
  );
}

function parseLine(line: string): Action {
  const [verb = "", ...rest] = line.split(/\s+/);
  if (!VERBS.has(verb)) throw new SyntaxError(`Cannot read script line "${line}": "${verb}" is no verb`);
  const words = rest.filter((word) => !word.includes("="));
  const fields = new Map(
    rest.filter((word) => word.includes("=")).map((word) => {
      const at = word.indexOf("=");
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
  return { verb, words, fields, line };
}
