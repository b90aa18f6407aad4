/**
 * A hostile guest as a program of its own, so that it takes no time of whoever watches the others: `hostile_guest.ts
 * PORT TARGET SECONDS`.
 *
 * It connects to the stream listener on PORT of loopback, opens `FLOWS` connections to TARGET of the gateway, and says
 * how many there are. Then it sends random and truncated frames for SECONDS: on the link that has the connections, and
 * by `attack` on others, whose framing it breaks in the end. At last it says how many frames that were.
 *
 * @module
 */
import { GuestStack } from "../../guest/mod.ts";
import { streamLink } from "../../net/link/stream.ts";
import { Frame } from "../../net/wire/frame.ts";
import { attack } from "./stream_guests.ts";

const FLOWS = 500;
const HEADROOM = 4;

const [port = 0, target = 0, seconds = 0] = Deno.args.map(Number);
const link = streamLink(await Deno.connect({ hostname: "127.0.0.1", port }));
const guest = new GuestStack(link);
await Promise.all(Array.from({ length: FLOWS }, () => guest.connect({ hostname: "10.0.2.2", port: target })));
console.log(guest.connections);

const end = performance.now() + 1000 * seconds, goesOn = () => performance.now() < end;
let frames = 0;

/** Noise behind a right Ethernet header, every other frame cut off within what should follow. */
async function makeNoise(): Promise<void> {
  const bytes = new Uint8Array(HEADROOM + 1514), frame = new Frame();
  while (goesOn()) {
    for (let i = 0; i < 64; i++) {
      crypto.getRandomValues(bytes);
      bytes.set(
        [0x52, 0x54, 0, 0x12, 0x34, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, i % 3 === 0 ? 6 : 0, 0x45],
        HEADROOM,
      );
      if (link.send(frame.set(bytes, HEADROOM, HEADROOM + (i % 2 === 0 ? 1514 : 14 + i)))) frames++;
    }
    link.flush();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

const [attacked] = await Promise.all([attack(port, undefined, goesOn), makeNoise()]);
console.log(frames + attacked);
await guest.close();
