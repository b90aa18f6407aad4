/**
 * How TCP connections open and end, each as a script of literal segments: what RFC 9293 section 3.5 and 3.6 draw.
 *
 * They are tests by themselves, and the ones that must fail when a row of the transition table is wrong. Each checks
 * what the peer and the user see, and the state's name where `flows()` would show it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { TcpState } from "../../nat/tcp/transitions.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { EndpointScript, finish, OWN_ISN, scriptIn, SYNCHRONIZED } from "./endpoint_script.ts";

/** One way of a connection. */
export interface TcpScenario {
  readonly name: string;
  readonly run: () => void;
}

const FIN = TCP_FIN | TCP_ACK;

function isIn(script: EndpointScript, state: TcpState): void {
  assertEquals(script.state, state);
}

/** The peer sends and the endpoint answers `flags`; bytes pass to the user. */
function peerStillTalks(script: EndpointScript, text: string): void {
  const before = script.user.text;
  script.send({ payload: text });
  assertEquals(script.user.text, before + text);
  script.expect({ flags: TCP_ACK, ack: script.seq });
}

/** The user writes, the peer receives and acknowledges. */
function userStillTalks(script: EndpointScript, text: string): void {
  script.write(text);
  assertEquals(new TextDecoder().decode(script.receiveAll()), text);
  script.send();
  script.expectNothing();
}

function passesTimeWait(script: EndpointScript): void {
  isIn(script, "TIME-WAIT");
  assertEquals(script.user.ended, "finished");
  script.advance(999);
  isIn(script, "TIME-WAIT");
  script.advance(2);
  isIn(script, "CLOSED");
  assertEquals(script.user.told.at(-1), "timeWaitOver");
  script.assertEmpty();
}

/** Every way that the table knows. */
export const TCP_SCENARIOS: readonly TcpScenario[] = [
  {
    name: "a passive open answers the SYN when the user accepts, and is open at the ACK of that",
    run: () => {
      const script = new EndpointScript();
      script.receiveSyn();
      isIn(script, "LISTEN");
      script.advance(5000);
      script.expectNothing();
      script.endpoint.accept(OWN_ISN);
      isIn(script, "SYN-RECEIVED");
      script.ack = (script.expect({ flags: TCP_SYN | TCP_ACK, seq: OWN_ISN, ack: script.seq }).seq + 1) >>> 0;
      assertEquals(script.user.told, []);
      script.send();
      isIn(script, "ESTABLISHED");
      assertEquals(script.user.told, ["opened"]);
      userStillTalks(script, "hello");
      peerStillTalks(script, "hello");
      finish(script);
    },
  },
  {
    name: "a passive open that the user gives up tells the peer nothing it did not ask",
    run: () => {
      const script = new EndpointScript();
      script.receiveSyn();
      script.closeWrite();
      isIn(script, "CLOSED");
      assertEquals(script.user.ended, "aborted");
      script.assertEmpty();
    },
  },
  {
    name: "a passive open that the user aborts is refused",
    run: () => {
      const script = new EndpointScript();
      script.receiveSyn();
      script.endpoint.abort();
      isIn(script, "CLOSED");
      script.expect({ flags: TCP_RST | TCP_ACK, seq: 0, ack: script.seq });
      script.assertEmpty();
    },
  },
  {
    name: "a passive open ends when the peer gives up before the user accepts",
    run: () => {
      const script = new EndpointScript();
      script.receiveSyn();
      script.send({ flags: TCP_RST });
      isIn(script, "CLOSED");
      assertEquals(script.user.ended, "reset");
      script.assertEmpty();
    },
  },
  {
    name: "an active open is open at the SYN-ACK",
    run: () => {
      const script = new EndpointScript().connect();
      isIn(script, "SYN-SENT");
      script.send({ flags: TCP_SYN | TCP_ACK, mss: 1460 });
      isIn(script, "ESTABLISHED");
      assertEquals(script.user.told, ["opened"]);
      script.expect({ flags: TCP_ACK, ack: script.seq });
      userStillTalks(script, "hello");
      peerStillTalks(script, "hello");
      finish(script);
    },
  },
  {
    name: "two active opens that cross make one connection",
    run: () => {
      const script = new EndpointScript().connect();
      script.send({ flags: TCP_SYN, ack: 0, mss: 1460 });
      isIn(script, "SYN-RECEIVED");
      script.expect({ flags: TCP_SYN | TCP_ACK, seq: OWN_ISN, ack: script.seq });
      script.send();
      isIn(script, "ESTABLISHED");
      assertEquals(script.user.told, ["opened"]);
      userStillTalks(script, "hello");
      finish(script);
    },
  },
  {
    name: "an active open that is refused says so",
    run: () => {
      const script = new EndpointScript().connect();
      script.send({ flags: TCP_RST | TCP_ACK, seq: 0 });
      isIn(script, "CLOSED");
      assertEquals(script.user.ended, "refused");
      script.assertEmpty();
    },
  },
  {
    name: "an active open that the user closes or aborts is over at once",
    run: () => {
      for (const end of ["closeWrite", "abort"] as const) {
        const script = new EndpointScript().connect();
        script.endpoint[end]();
        isIn(script, "CLOSED");
        assertEquals(script.user.ended, "aborted");
        script.assertEmpty();
      }
    },
  },
  {
    name: "a handshake that the peer resets, or the user aborts, is over at once",
    run: () => {
      for (const end of ["peer", "user"] as const) {
        const script = new EndpointScript();
        script.receiveSyn();
        script.endpoint.accept(OWN_ISN);
        script.take();
        if (end === "peer") script.send({ flags: TCP_RST });
        else script.endpoint.abort();
        isIn(script, "CLOSED");
        assertEquals(script.user.ended, end === "peer" ? "reset" : "aborted");
        if (end === "user") script.expect({ flags: TCP_RST | TCP_ACK, seq: (OWN_ISN + 1) >>> 0 });
        script.assertEmpty();
      }
    },
  },
  {
    name: "a close before the handshake is over comes true with it",
    run: () => {
      const script = new EndpointScript();
      script.receiveSyn();
      script.endpoint.accept(OWN_ISN);
      script.ack = (script.expect().seq + 1) >>> 0;
      script.closeWrite();
      script.expectNothing();
      script.send();
      isIn(script, "FIN-WAIT-1");
      script.expect({ flags: FIN });
      finish(script);
    },
  },
  {
    name: "the peer finishes first: the user goes on, and the ACK of his FIN is the end",
    run: () => {
      const script = new EndpointScript().open();
      script.send({ flags: FIN, payload: "last" });
      isIn(script, "CLOSE-WAIT");
      assertEquals([script.user.text, script.user.told], ["last", ["opened", "finished"]]);
      script.expect({ flags: TCP_ACK, ack: script.seq });
      script.advance(5 * 60_000);
      userStillTalks(script, "an answer");
      script.closeWrite();
      isIn(script, "LAST-ACK");
      script.expect({ flags: FIN });
      script.send();
      isIn(script, "LAST-ACK");
      script.ack = (script.ack + 1) >>> 0;
      script.send();
      isIn(script, "CLOSED");
      assertEquals(script.user.ended, "finished");
      script.assertEmpty();
    },
  },
  {
    name: "the user finishes first: the peer goes on, and its FIN begins TIME-WAIT",
    run: () => {
      const script = new EndpointScript().open();
      script.write("last");
      script.closeWrite();
      isIn(script, "FIN-WAIT-1");
      script.send({ payload: "still " });
      isIn(script, "FIN-WAIT-1");
      assertEquals(new TextDecoder().decode(script.receiveAll()), "last");
      script.send();
      isIn(script, "FIN-WAIT-2");
      script.advance(5 * 60_000);
      peerStillTalks(script, "talking");
      script.send({ flags: FIN });
      assertEquals([script.user.text, script.user.told.includes("finished")], ["still talking", true]);
      script.expect({ flags: TCP_ACK, ack: script.seq });
      passesTimeWait(script);
    },
  },
  {
    name: "a FIN that also acknowledges ours begins TIME-WAIT",
    run: () => {
      const script = new EndpointScript().open();
      script.closeWrite();
      script.receiveAll();
      script.send({ flags: FIN });
      script.expect({ flags: TCP_ACK, ack: script.seq });
      passesTimeWait(script);
    },
  },
  {
    name: "FINs that cross go through CLOSING, which only an ACK of ours ends",
    run: () => {
      const script = new EndpointScript().open();
      script.closeWrite();
      script.send({ flags: FIN });
      isIn(script, "CLOSING");
      assertEquals(script.user.told, ["opened", "finished"]);
      script.receiveAll();
      script.send({ ack: (script.ack - 1) >>> 0 });
      isIn(script, "CLOSING");
      script.send();
      passesTimeWait(script);
    },
  },
  {
    name: "an exact RST ends every synchronized state but TIME-WAIT, with no answer",
    run: () => {
      for (const [state] of SYNCHRONIZED) {
        const script = scriptIn(state);
        script.send({ flags: TCP_RST });
        script.expectNothing();
        if (state === "TIME-WAIT") {
          passesTimeWait(script);
          continue;
        }
        isIn(script, "CLOSED");
        assertEquals(script.user.ended, "reset", state);
        script.assertEmpty();
      }
    },
  },
  {
    name: "an abort sends RST from every synchronized state that has not ended",
    run: () => {
      for (const [state] of SYNCHRONIZED) {
        if (state === "TIME-WAIT") continue;
        const script = scriptIn(state);
        script.endpoint.abort();
        isIn(script, "CLOSED");
        assertEquals(script.user.ended, "aborted", state);
        script.expect({ flags: TCP_RST | TCP_ACK });
        script.assertEmpty();
      }
    },
  },
];
