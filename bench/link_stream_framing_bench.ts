/**
 * What QEMU's framing costs beside the system calls: frames out of one large read, and gathered for one write.
 *
 * @module
 */
import { StreamInput, StreamOutput } from "../net/link/stream_framing.ts";
import { Frame } from "../net/wire/frame.ts";
import { writeUint32 } from "../net/wire/bytes.ts";

for (const mtu of [1500, 65520]) {
  const length = mtu + 14, input = new StreamInput(), output = new StreamOutput(), frame = new Frame();
  const count = Math.floor(input.bytes.length / (length + 4));
  for (let i = 0; i < count; i++) writeUint32(input.bytes, i * (length + 4), length);
  const bytes = new Uint8Array(length + 128);

  Deno.bench({ name: `${count} frames out of one read`, group: `MTU ${mtu}` }, () => {
    input.start = 0;
    input.end = count * (length + 4);
    while (input.next(frame));
  });

  Deno.bench({ name: `${count} frames gathered for one write`, group: `MTU ${mtu}` }, () => {
    for (let i = 0; i < count; i++) output.push(frame.set(bytes, 64, 64 + length));
    output.taken(output.length);
  });
}
