import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { ForwardTarget } from "../../nat/flow/flow.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { endpoint } from "../support/forward_script.ts";
import { NatScript } from "../support/nat_script.ts";
import { OtherGuest } from "../support/other_guest.ts";
import { checkProperty } from "../support/properties.ts";
import { ScriptTcpSocket } from "../support/script_host.ts";

const NAMED = "10.0.2.20", OTHER = "10.0.2.21";
/** How long a client may wait for a guest, and a second in which it is noticed. */
const LONGEST_MS = 11_000;

type Deed =
  | { does: "attach" | "client" | "give up" }
  | { does: "speak"; guest: number; address: string }
  | { does: "leave" | "die" | "live"; guest: number }
  | { does: "wait"; ms: number };

const guest = fc.nat(3), address = fc.constantFrom(NAMED, NAMED, OTHER);
const deeds: fc.Arbitrary<Deed[]> = fc.array(
  fc.oneof(
    fc.record({ does: fc.constantFrom("attach" as const, "client" as const, "client" as const, "give up" as const) }),
    fc.record({ does: fc.constant("speak" as const), guest, address }),
    fc.record({ does: fc.constantFrom("leave" as const, "die" as const, "live" as const), guest }),
    fc.record({ does: fc.constant("wait" as const), ms: fc.constantFrom(1, 99, 500, 1000, 1001, 3000) }),
  ),
  { maxLength: 25 },
);

/** Guests that answer ARP while they live and have the address, and clients of a forward that names it. */
class Scene extends NatScript {
  readonly target: ForwardTarget = { name: "tcp", guestAddress: IpAddress.parse(NAMED), guestPort: 22 };
  readonly guests: OtherGuest[] = [];
  readonly clients: ScriptTcpSocket[] = [];
  readonly dead = new Set<OtherGuest>();
  readonly has = new Set<OtherGuest>();
  /** Who spoke first from the address, and has lived since. */
  rightful: OtherGuest | null = null;
  /** SYNs that came to another guest than the rightful one. */
  strays = 0;
  #spoken = false;
  #port = 1;

  constructor() {
    super({ maxFlows: 1000 });
    this.nat.detach(this.guest);
    this.nat.forwards.add(this.target);
  }

  do(deed: Deed): void {
    const guest = "guest" in deed ? this.guests[deed.guest] : undefined;
    if (deed.does === "attach" && this.guests.length < 4) this.guests.push(new OtherGuest(this));
    else if (deed.does === "client") this.#connect();
    else if (deed.does === "give up") this.clients.find(({ closed }) => !closed)?.hostResets();
    else if (deed.does === "wait") this.#wait(deed.ms);
    if (guest !== undefined) this.#doOf(guest, deed);
    this.host.wake();
    this.host.run();
    this.answer();
  }

  /** Living guests answer what they were asked, until nobody is asked any more. */
  answer(): void {
    for (let asked = true; asked;) {
      asked = false;
      for (const guest of this.guests) {
        for (const address of guest.takeAsked()) {
          if (this.dead.has(guest) || address !== NAMED || !this.has.has(guest)) continue;
          this.#speak(guest, address, true);
          asked = true;
        }
        const got = guest.takeGot().length;
        if (this.rightful !== null && guest !== this.rightful) this.strays += got;
      }
    }
  }

  #doOf(guest: OtherGuest, deed: Deed): void {
    if (deed.does === "live") this.dead.delete(guest);
    else if (deed.does === "speak" && !this.dead.has(guest)) this.#speak(guest, deed.address, false);
    else if (deed.does === "die" || deed.does === "leave") {
      this.dead.add(guest);
      if (guest === this.rightful) this.rightful = null;
      if (deed.does === "die") return;
      this.guests.splice(this.guests.indexOf(guest), 1);
      guest.leave();
    }
  }

  #speak(guest: OtherGuest, address: string, isAnswer: boolean): void {
    if (address === NAMED) {
      this.has.add(guest);
      // Who came before it belongs to whom there was then.
      if (!this.#spoken && this.clients.every(({ closed }) => closed)) this.rightful = guest;
      this.#spoken = true;
    }
    if (isAnswer) guest.answer(address);
    else guest.speak(address);
  }

  #connect(): void {
    const client = endpoint(`127.0.0.1:${this.#port++}`), socket = this.host.addSocket(new ScriptTcpSocket(client));
    this.clients.push(socket);
    const handler = this.nat.forwards.acceptTcp(this.target, socket, client);
    if (handler !== null) socket.serve(handler);
  }

  /** Guests answer at once, however much time passes. */
  #wait(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.advance(Math.min(left, 100));
      this.answer();
    }
  }
}

Deno.test("AddressOwner keeps no client for ever, takes no client from a guest that was first and answers, and leaves nothing", () => {
  checkProperty(deeds, (script) => {
    const scene = new Scene();
    for (const deed of script) scene.do(deed);
    assertEquals(scene.strays, 0);
    scene.do({ does: "wait", ms: LONGEST_MS });
    const waiting = scene.clients.filter(({ closed }) => !closed).length;
    assert(waiting <= scene.nat.flows().length, `${waiting} clients wait`);
    scene.nat.close();
    assertEquals(scene.clients.filter(({ closed }) => !closed), []);
    scene.take();
    scene.assertEmpty();
  });
});
