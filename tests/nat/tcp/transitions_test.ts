import { assertEquals, assertThrows } from "@std/assert";
import { TCP_STATES, type TcpEvent, type TcpState, transition, TRANSITIONS } from "../../../nat/tcp/transitions.ts";
import { TCP_SCENARIOS } from "../../support/tcp_scenarios.ts";

const EVENTS: readonly TcpEvent[] = [
  "listen",
  "connect",
  "accept",
  "receiveSyn",
  "receiveSynAck",
  "receiveAckOfSyn",
  "close",
  "receiveFin",
  "receiveAckOfFin",
  "timeWaitOver",
  "receiveReset",
  "abort",
];

// RFC 9293 figure 5, written out: what is not here cannot happen.
const EXPECTED: readonly [TcpState, TcpEvent, TcpState][] = [
  ["CLOSED", "listen", "LISTEN"],
  ["CLOSED", "connect", "SYN-SENT"],
  ["LISTEN", "accept", "SYN-RECEIVED"],
  ["LISTEN", "close", "CLOSED"],
  ["LISTEN", "receiveReset", "CLOSED"],
  ["LISTEN", "abort", "CLOSED"],
  ["SYN-SENT", "receiveSyn", "SYN-RECEIVED"],
  ["SYN-SENT", "receiveSynAck", "ESTABLISHED"],
  ["SYN-SENT", "close", "CLOSED"],
  ["SYN-SENT", "receiveReset", "CLOSED"],
  ["SYN-SENT", "abort", "CLOSED"],
  ["SYN-RECEIVED", "receiveAckOfSyn", "ESTABLISHED"],
  ["SYN-RECEIVED", "receiveReset", "CLOSED"],
  ["SYN-RECEIVED", "abort", "CLOSED"],
  ["ESTABLISHED", "close", "FIN-WAIT-1"],
  ["ESTABLISHED", "receiveFin", "CLOSE-WAIT"],
  ["ESTABLISHED", "receiveReset", "CLOSED"],
  ["ESTABLISHED", "abort", "CLOSED"],
  ["FIN-WAIT-1", "receiveFin", "CLOSING"],
  ["FIN-WAIT-1", "receiveAckOfFin", "FIN-WAIT-2"],
  ["FIN-WAIT-1", "receiveReset", "CLOSED"],
  ["FIN-WAIT-1", "abort", "CLOSED"],
  ["FIN-WAIT-2", "receiveFin", "TIME-WAIT"],
  ["FIN-WAIT-2", "receiveReset", "CLOSED"],
  ["FIN-WAIT-2", "abort", "CLOSED"],
  ["CLOSE-WAIT", "close", "LAST-ACK"],
  ["CLOSE-WAIT", "receiveReset", "CLOSED"],
  ["CLOSE-WAIT", "abort", "CLOSED"],
  ["CLOSING", "receiveAckOfFin", "TIME-WAIT"],
  ["CLOSING", "receiveReset", "CLOSED"],
  ["CLOSING", "abort", "CLOSED"],
  ["LAST-ACK", "receiveAckOfFin", "CLOSED"],
  ["LAST-ACK", "receiveReset", "CLOSED"],
  ["LAST-ACK", "abort", "CLOSED"],
  ["TIME-WAIT", "timeWaitOver", "CLOSED"],
];

Deno.test("transition leads where RFC 9293 figure 5 does, for every state and event", () => {
  assertEquals(TCP_STATES.length, 11);
  for (const state of TCP_STATES) {
    for (const event of EVENTS) {
      const expected = EXPECTED.find((row) => row[0] === state && row[1] === event)?.[2];
      if (expected) assertEquals(transition(state, event), expected, `${state} ${event}`);
      else assertThrows(() => transition(state, event), Error, `Cannot move TCP state ${state}: event ${event}`);
    }
  }
});

Deno.test("a wrong row of the transition table makes a behaviour test fail, whichever row and wherever it leads", () => {
  const table = TRANSITIONS as Record<TcpState, Record<TcpEvent, TcpState | null>>;
  for (const { run } of TCP_SCENARIOS) run();
  let mutants = 0;
  for (const [state, event, right] of EXPECTED) {
    for (const wrong of [null, ...TCP_STATES.filter((other) => other !== right)]) {
      table[state][event] = wrong;
      try {
        const survives = TCP_SCENARIOS.every(({ run }) => passes(run));
        assertEquals(survives, false, `nobody notices that ${event} in ${state} leads to ${wrong} instead of ${right}`);
        mutants++;
      } finally {
        table[state][event] = right;
      }
    }
  }
  assertEquals(mutants, EXPECTED.length * 11);
});

function passes(run: () => void): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}
