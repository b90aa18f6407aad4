import { assertEquals } from "@std/assert";
import { type QueuedError, takeError } from "../../host/linux_error_queue.ts";
import { IpAddress } from "../../net/wire/address.ts";
import type { Libc } from "../../net/linux/libc.ts";
import { writeSockaddr } from "../../net/linux/sockaddr.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("ffi");

/** An entry as recvmsg(2) would give it. */
interface Entry {
  readonly to?: string;
  readonly errno: number;
  readonly origin: number;
  readonly type?: number;
  readonly code?: number;
  readonly info?: number;
  readonly level?: number;
  readonly option?: number;
  readonly controlLength?: number;
  readonly data?: number[];
}

/** A C library whose `recvmsg` gives these, one a call. */
function queueOf(entries: Entry[]): Libc {
  function recvmsg(_fd: number, message: Uint8Array, flags: number): number {
    assertEquals(flags, 0x2000);
    const entry = entries.shift();
    if (entry === undefined) return -1;
    const header = new DataView(message.buffer, message.byteOffset);
    const at = (view: DataView, offset: number, length: number) =>
      new DataView(
        Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(view.getBigUint64(offset, true))!, length),
      );
    const name = new Uint8Array(at(header, 0, 28).buffer), control = at(header, 32, 64);
    writeSockaddr(name, IpAddress.parse(entry.to ?? "192.0.2.7"), 9);
    new Uint8Array(control.buffer).fill(0);
    control.setInt32(8, entry.level ?? 0, true);
    control.setInt32(12, entry.option ?? 11, true);
    control.setUint32(16, entry.errno, true);
    control.setUint8(20, entry.origin);
    control.setUint8(21, entry.type ?? 0);
    control.setUint8(22, entry.code ?? 0);
    control.setUint32(24, entry.info ?? 0, true);
    header.setBigUint64(40, BigInt(entry.controlLength ?? 48), true);
    const data = entry.data ?? [];
    new Uint8Array(at(at(header, 16, 16), 0, 8).buffer).set(data);
    return data.length;
  }
  return { recvmsg } as unknown as Libc;
}

function take(...entries: Entry[]): string[] {
  const taken: string[] = [], libc = queueOf(entries);
  const error: QueuedError = {
    error: "other",
    to: { address: IpAddress.fromIpv4(0), port: 0 },
    mtu: 0,
    data: new Uint8Array(0),
    dataLength: 0,
  };
  while (takeError(libc, 7, error)) {
    taken.push([error.error, error.to.address, error.mtu, error.data.slice(0, error.dataLength)].join(" "));
  }
  return taken;
}

function test(name: string, body: () => void): void {
  Deno.test({ name: `takeError ${name}${needs.reason}`, ignore: needs.ignore, fn: body });
}

test("tells what ICMP says, which is more than the error number", () => {
  const icmp = { origin: 2, type: 3 };
  assertEquals(
    take(
      { ...icmp, code: 3, errno: 111 },
      { ...icmp, code: 0, errno: 101 },
      { ...icmp, code: 1, errno: 113 },
      { ...icmp, code: 4, errno: 90, info: 1280 },
      { ...icmp, code: 9, errno: 101 },
      { ...icmp, code: 10, errno: 113 },
      { ...icmp, code: 13, errno: 113 },
      { origin: 2, type: 11, code: 0, errno: 113 },
      { origin: 2, type: 12, code: 0, errno: 71 },
    ).map((line) => line.trimEnd()),
    [
      "refused 192.0.2.7 0",
      "networkUnreachable 192.0.2.7 0",
      "hostUnreachable 192.0.2.7 0",
      "tooLarge 192.0.2.7 1280",
      "prohibited 192.0.2.7 0",
      "prohibited 192.0.2.7 0",
      "prohibited 192.0.2.7 0",
      "expired 192.0.2.7 0",
      "other 192.0.2.7 0",
    ],
  );
});

test("takes ICMPv6 and what this host itself refused, with the MTU of the datagram's family", () => {
  const icmpv6 = { origin: 3, level: 41, option: 25, to: "2001:db8::7" };
  assertEquals(
    take(
      { ...icmpv6, type: 1, code: 4, errno: 111 },
      { ...icmpv6, type: 2, code: 0, errno: 90, info: 1280 },
      { ...icmpv6, type: 3, code: 0, errno: 113 },
      { ...icmpv6, type: 1, code: 1, errno: 13 },
      { origin: 1, type: 3, code: 13, errno: 90, info: 1400 },
    ).map((line) => line.trimEnd()),
    [
      "refused 2001:db8::7 0",
      "tooLarge 2001:db8::7 1280",
      "expired 2001:db8::7 0",
      "prohibited 2001:db8::7 0",
      "tooLarge 192.0.2.7 1400",
    ],
  );
});

test("gives the beginning of what was sent, as much as there is", () => {
  assertEquals(take({ origin: 2, type: 3, code: 1, errno: 113, data: [8, 0, 1, 2, 0, 7, 0, 9] }), [
    "hostUnreachable 192.0.2.7 0 8,0,1,2,0,7,0,9",
  ]);
});

test("passes over entries that say nothing of an error", () => {
  const good = { origin: 2, type: 3, code: 3, errno: 111 };
  assertEquals(
    take({ ...good, controlLength: 0 }, { ...good, controlLength: 20 }, { ...good, option: 8 }, good).length,
    1,
  );
  assertEquals(take({ ...good, level: 41, option: 11 }, { ...good, level: 1, option: 11 }), []);
});
