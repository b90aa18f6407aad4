import { assert, assertEquals } from "@std/assert";
import type { LossyLinkOptions } from "../../../net/link/lossy.ts";
import { EndpointGuest } from "../../support/endpoint_guest.ts";
import { pattern, Simulation, type SimulationOptions } from "../../support/netsim.ts";
import { PlainGuest } from "../../support/plain_guest.ts";

const QUESTION = pattern(3000), ANSWER = pattern(150_000);
const FIVE_MINUTES = 5 * 60_000;
const SEEDS = 8;

type Who = Pick<SimulationOptions, "guest" | "family">;

const OURS: Who = { guest: (parts) => new EndpointGuest(parts) },
  PLAIN: Who = { guest: (parts) => new PlainGuest(parts) };
const GUESTS: Record<string, Who> = {
  "our endpoint": OURS,
  "a plain peer": PLAIN,
  "our endpoint over IPv6": { ...OURS, family: 6 },
  "a plain peer over IPv6": { ...PLAIN, family: 6 },
};
const NETWORKS: Record<string, LossyLinkOptions> = {
  "that loses nothing": { delayMs: 5 },
  "that loses a tenth": { delayMs: 5, loss: 0.1 },
  "that loses, repeats, delays and reorders": { delayMs: 20, jitterMs: 15, loss: 0.05, duplicate: 0.1, reorder: 0.1 },
};

/** Runs a conversation over networks of many seeds, each from the open connection to nothing left. */
function converse(
  who: Who,
  impairment: LossyLinkOptions,
  talk: (sim: Simulation) => void,
): void {
  const seeds = impairment.loss === undefined ? 1 : SEEDS;
  let lost = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const sim = new Simulation({ ...who, mtu: 1500, impairment, seed, expected: ANSWER });
    sim.guest.connect();
    sim.run("the connection is open", () => sim.flow?.state === "ESTABLISHED");
    talk(sim);
    sim.end();
    lost += sim.link.toGuest.lost + sim.link.fromGuest.lost;
  }
  assert(lost > 0 === (impairment.loss ?? 0) > 0, `${lost} frames were lost`);
}

for (const [who, guest] of Object.entries(GUESTS)) {
  for (const [where, impairment] of Object.entries(NETWORKS)) {
    Deno.test(`netsim: an answer that begins five minutes after the FIN of ${who} arrives whole, over a network ${where}`, () => {
      converse(guest, impairment, (sim) => {
        sim.guest.say(QUESTION);
        sim.guest.finish();
        sim.run("the host has heard the end", () => sim.socket.closeWriteCalled);
        assertEquals(sim.socket.received, QUESTION);
        sim.pass(FIVE_MINUTES);
        assertEquals(sim.flow?.state, "CLOSE-WAIT");
        sim.socket.hostSends(ANSWER);
        sim.socket.hostEof();
        sim.run("the guest has heard the end", () => sim.guest.heardEnd);
        assertEquals(sim.guest.heard, ANSWER.length);
      });
    });

    Deno.test(`netsim: what ${who} says five minutes after the host's FIN arrives whole, over a network ${where}`, () => {
      converse(guest, impairment, (sim) => {
        sim.socket.hostSends(ANSWER);
        sim.socket.hostEof();
        sim.run("the guest has heard the end", () => sim.guest.heardEnd);
        assertEquals(sim.guest.heard, ANSWER.length);
        sim.pass(FIVE_MINUTES);
        assertEquals(sim.flow?.state, "FIN-WAIT-2");
        sim.guest.say(QUESTION);
        sim.guest.finish();
        sim.run("the host has heard the end", () => sim.socket.closeWriteCalled);
        assertEquals(sim.socket.received, QUESTION);
      });
    });

    Deno.test(`netsim: both ends of a connection with ${who} finish at once and lose nothing, over a network ${where}`, () => {
      converse(guest, impairment, (sim) => {
        sim.guest.say(QUESTION);
        sim.guest.finish();
        sim.socket.hostSends(ANSWER);
        sim.socket.hostEof();
        sim.run("both have heard the end", () => sim.guest.heardEnd && sim.socket.closeWriteCalled);
        assertEquals(sim.guest.heard, ANSWER.length);
        assertEquals(sim.socket.received, QUESTION);
      });
    });
  }

  Deno.test(`netsim: a host that reads slowly gets everything that ${who} says over a network that loses a tenth`, () => {
    converse(guest, { delayMs: 5, loss: 0.1 }, (sim) => {
      sim.socket.budget = 0;
      sim.guest.say(QUESTION);
      sim.guest.finish();
      sim.pass(FIVE_MINUTES);
      assertEquals(sim.socket.receivedLength, 0);
      while (sim.socket.receivedLength < QUESTION.length) {
        sim.socket.budget = 100;
        sim.pass(10_000);
      }
      sim.run("the host has heard the end", () => sim.socket.closeWriteCalled);
      assertEquals(sim.socket.received, QUESTION);
      sim.socket.hostEof();
      sim.run("the guest has heard the end", () => sim.guest.heardEnd);
    });
  });
}

Deno.test("netsim: a guest that goes away in the middle costs its flow and nothing else", () => {
  const sim = new Simulation({
    ...PLAIN,
    mtu: 1500,
    impairment: { delayMs: 5, loss: 0.05 },
    seed: 1,
    expected: ANSWER,
  });
  sim.guest.connect();
  sim.run("the connection is open", () => sim.flow?.state === "ESTABLISHED");
  sim.socket.hostSends(ANSWER);
  sim.run("some of it has arrived", () => sim.guest.heard > 10_000);
  void sim.link.close();
  sim.run("the flow is gone", () => sim.nat.flowCount === 0);
  assertEquals([sim.socket.wasReset, sim.nat.timers.size, sim.clock.size], [true, 0, 0]);
});

Deno.test("netsim: a network that carries nothing any more ends the flow after the silence that is allowed", () => {
  let broken = false;
  const sim = new Simulation({
    ...OURS,
    mtu: 1500,
    impairment: { delayMs: 5 },
    seed: 1,
    expected: ANSWER,
  });
  sim.guest.connect();
  sim.run("the connection is open", () => sim.flow?.state === "ESTABLISHED");
  const send = sim.link.send.bind(sim.link);
  sim.link.send = (frame) => broken || send(frame);
  sim.socket.hostSends(ANSWER.subarray(0, 100_000));
  sim.run("some of it has arrived", () => sim.guest.heard > 50_000);
  broken = true;
  const before = sim.clock.time;
  sim.socket.hostSends(ANSWER.subarray(100_000));
  sim.run("the flow is gone", () => sim.nat.flowCount === 0);
  const silenceMs = sim.clock.time - before;
  assert(silenceMs > 119_000 && silenceMs < 121_000, `${silenceMs}`);
  assertEquals(sim.socket.wasReset, true);
});
