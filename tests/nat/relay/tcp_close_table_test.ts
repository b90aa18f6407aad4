import { assert, assertEquals, assertThrows } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { type GuestEnd, type Stage, STAGES, verdict, VERDICTS } from "../../../nat/relay/tcp_close.ts";
import { ForwardScript } from "../../support/forward_script.ts";
import { bytesOf } from "../../support/nat_script.ts";
import type { ScriptTcpSocket } from "../../support/script_host.ts";

const FIN = TCP_FIN | TCP_ACK;

type Fate = "close" | "reset" | "drain";
type Act = (script: ForwardScript, socket: ScriptTcpSocket) => void | Promise<void>;

/** Brings the direction to the host to each stage. */
const REACH: Readonly<Record<Stage, Act>> = {
  open: () => {},
  owing: (script, socket) => {
    socket.budget = 0;
    script.send({ payload: "owed" });
  },
  finishing: (script, socket) => {
    socket.budget = 0;
    script.send({ flags: FIN, payload: "owed" });
  },
  finished: (script) => script.send({ flags: FIN, payload: "given" }),
  // The guest has finished, and its last bytes are dropped. It has no room for what the host had said before, so it
  // does not hear of that yet.
  failed: (script, socket) => {
    script.send({ window: 1 });
    socket.hostSends("not yet read");
    script.host.run();
    socket.hostResets();
    script.send({ flags: FIN, window: 1, payload: "lost" });
  },
};

/** Ends the guest's side in each way that it can be ended from outside. */
const END: Readonly<Record<Exclude<GuestEnd, "refused" | "aborted">, Act>> = {
  finished: (script) => {
    script.receiveAll();
    script.send({});
  },
  reset: (script) => script.send({ flags: TCP_RST }),
  timedOut: (script, socket) => {
    if (!socket.ended && !socket.broken) socket.hostSends("anyone?");
    script.host.run();
    script.advance(130_000);
  },
  gone: (script) => {
    script.nat.detach(script.guest);
    script.host.wake();
    script.host.run();
  },
  removed: async (script) => {
    await script.live[0]!.remove({ reset: true });
    script.host.run();
  },
  closed: (script) => {
    script.nat.close();
    script.host.run();
  },
};

/** What becomes of the host socket: while the host may still send, and after its EOF. */
const FATES: Readonly<Record<keyof typeof END, Readonly<Record<Stage, readonly [Fate | null, Fate | null]>>>> = {
  finished: {
    open: [null, null],
    owing: [null, null],
    finishing: [null, "drain"],
    finished: [null, "close"],
    failed: [null, null],
  },
  reset: {
    open: ["reset", "reset"],
    owing: ["reset", "reset"],
    finishing: ["reset", "reset"],
    finished: ["reset", "close"],
    failed: ["reset", null],
  },
  timedOut: {
    open: ["reset", "reset"],
    owing: ["drain", "drain"],
    finishing: ["drain", "drain"],
    finished: ["close", "close"],
    failed: ["reset", null],
  },
  gone: {
    open: ["reset", "reset"],
    owing: ["drain", "drain"],
    finishing: ["drain", "drain"],
    finished: ["close", "close"],
    failed: ["reset", null],
  },
  removed: {
    open: ["reset", "reset"],
    owing: ["reset", "reset"],
    finishing: ["reset", "reset"],
    finished: ["reset", "reset"],
    failed: ["reset", null],
  },
  closed: {
    open: ["reset", "reset"],
    owing: ["reset", "reset"],
    finishing: ["reset", "reset"],
    finished: ["close", "close"],
    failed: ["reset", null],
  },
};

function fateOf(script: ForwardScript, socket: ScriptTcpSocket): Fate {
  if (!socket.closed) {
    assertEquals(script.nat.flows().map(({ state }) => state), ["draining"]);
    return "drain";
  }
  return socket.wasReset ? "reset" : "close";
}

for (const [end, row] of Object.entries(FATES) as [keyof typeof END, typeof FATES["reset"]][]) {
  for (const stage of STAGES) {
    for (const hostFinished of [false, true]) {
      const fate = row[stage][Number(hostFinished)]!;
      if (fate === null) continue;
      const when = `its direction ${stage}${hostFinished ? " and the host's EOF read" : ""}`;
      for (const family of [4, 6] as const) {
        Deno.test(`TcpRelay over IPv${family} whose guest is ${end}, ${when}, lets the host socket ${fate}`, async () => {
          const script = await ForwardScript.start("tcp:8080:80", { family }), socket = script.openByClient();
          await REACH[stage](script, socket);
          script.take();
          if (hostFinished) socket.hostEof();
          script.host.run();
          await END[end](script, socket);
          script.take();
          assertEquals(fateOf(script, socket), fate);
          const silent = () => script.warnings.filter((line) => line.includes("fell silent")).length;
          assertEquals(silent(), end === "timedOut" && stage !== "failed" && fate !== "drain" ? 1 : 0);
          if (fate === "drain") {
            // Whatever happens to the guest now, what it was acknowledged is written.
            script.nat.detach(script.guest);
            assertEquals(socket.closed, false);
            socket.budget = Infinity;
            script.host.run();
            assertEquals([socket.received, socket.closed], [bytesOf("owed"), true]);
            assertEquals(socket.wasReset, stage === "owing");
            assertEquals(silent(), end === "timedOut" ? 1 : 0);
          }
          script.take();
          if (end !== "closed") script.advance(1100);
          script.assertEmpty();
        });
      }
    }
  }
}

Deno.test("VERDICTS have no entry that no flow reaches, but for guests that refuse or are refused", () => {
  for (const [end, row] of Object.entries(FATES) as [keyof typeof END, typeof FATES["reset"]][]) {
    for (const stage of STAGES) {
      const played = row[stage].filter((fate) => fate !== null);
      // A host that fails after its EOF was read resets the guest at once.
      const isNull = end === "finished" && stage === "failed" ? false : played.length === 0;
      assertEquals(VERDICTS[end][stage] === null, isNull, `${end} ${stage}`);
    }
  }
});

Deno.test("verdict throws for what cannot be, and says what", () => {
  const error = assertThrows(() => verdict("finished", "owing", true), Error);
  assert(error.message.includes("finished leaves no direction owing"), error.message);
  assertThrows(() => verdict("refused", "finished", false), Error);
  assertEquals(verdict("refused", "open", false), "reset");
});
