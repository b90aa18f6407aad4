/**
 * Scripts by chance for listeners (`crowd_target.ts`): crowds of clients with right and wrong requests, frames and
 * lengths, and descriptors that run out.
 *
 * @module
 */
import { clientFrame, webSocketRequest } from "../support/websocket_client.ts";
import { framed } from "../support/link_peer.ts";
import { CrowdTarget } from "./crowd_target.ts";
import { randomFrame6 } from "./packets6.ts";
import type { Random } from "./random.ts";

/** What a run of these has done. */
export interface CrowdResult {
  readonly sessions: number;
  readonly lines: number;
  /** The failures, as scripts, by the words of their error. */
  readonly failures: ReadonlyMap<string, string>;
}

const MOST_LINES = 120;
const MOST_CLIENTS = 400;
const MOST_FAILURES = 10;
const FIRST_LINES = [
  "listen ws",
  "listen ws",
  "listen ws token=secret",
  "listen ws framing=bare",
  "listen ws framing=framed",
  "listen stream",
];

/** Plays random scripts for as long as `goesOn` says. */
export async function fuzzCrowds(random: Random, goesOn: (sessions: number) => boolean): Promise<CrowdResult> {
  const failures = new Map<string, string>();
  let sessions = 0, lines = 0;
  while (goesOn(sessions) && failures.size < MOST_FAILURES) {
    const script = randomScript(random), cause = await errorOf(script);
    sessions++;
    lines += script.length;
    if (cause !== null && !failures.has(cause)) failures.set(cause, (await shortened(script, cause)).join("\n") + "\n");
  }
  return { sessions, lines, failures };
}

/** Plays a script to its end; throws what it finds. */
export async function playCrowd(script: readonly string[]): Promise<CrowdTarget> {
  const target = new CrowdTarget(script[0] ?? "");
  for (const line of script.slice(1)) target.act(line);
  await target.close();
  return target;
}

/** A script of a file: its lines without comments. */
export function readCrowd(text: string): string[] {
  return text.split("\n").map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter((line) => line !== "");
}

async function errorOf(script: readonly string[]): Promise<string | null> {
  try {
    await playCrowd(script);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0]! : String(error);
  }
}

async function shortened(script: readonly string[], cause: string): Promise<readonly string[]> {
  let kept = script;
  for (let size = Math.ceil(kept.length / 2); size > 0; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let at = 1; at < kept.length;) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (await errorOf(fewer) === cause) kept = fewer;
      else at += size;
    }
  }
  return kept;
}

function randomScript(random: Random): string[] {
  const first = random.pick(FIRST_LINES), isWebSocket = first.startsWith("listen ws");
  const script = [first], crowd = random.pick([3, 3, 20, MOST_CLIENTS]);
  let clients = 0;
  for (let i = random.below(MOST_LINES); i > 0; i--) {
    const client = `client=${random.below(Math.max(1, clients))}`;
    switch (random.below(12)) {
      case 0:
      case 1: {
        const times = 1 + random.below(crowd);
        clients += times;
        script.push(`come times=${times}`);
        break;
      }
      case 2:
        script.push(`leave ${client}`);
        break;
      case 3:
        script.push(
          random.oneIn(2) ? `take times=${random.pick([1, 50, 2000])}` : `give times=${random.pick([1, 60, 2000])}`,
        );
        break;
      case 4:
        script.push(`limit of=${random.pick([16, 64, 100, 256, 1024])}`);
        break;
      case 5:
        script.push(`wait ms=${random.pick([1, 99, 100, 5000, 10_000])}`);
        break;
      case 6:
        script.push(`send len=${random.pick([14, 60, 121, 1514, 65_531, 65_553])}`, `read ${client}`);
        break;
      default:
        script.push(`say ${client} hex=${toHex(saying(random, isWebSocket))}`);
    }
  }
  return script;
}

/** What a client may say. */
function saying(random: Random, isWebSocket: boolean): Uint8Array {
  const kind = random.below(10);
  if (kind === 0) return noise(random, 40);
  if (isWebSocket && kind < 5) {
    const text = webSocketRequest(
      random.oneIn(2) ? [] : ["Origin: http://localhost"],
      random.pick(["/", "/?token=secret"]),
    );
    return changed(new TextEncoder().encode(text), random);
  }
  const size = random.pick([0, 5, 13, 14, 42, 60, 1514, 3000]), isIpv6 = random.oneIn(4);
  const frame = isIpv6 ? randomFrame6(random) : new Uint8Array(size).fill(random.pick([0, 0xff]));
  if (!isIpv6 && random.oneIn(2)) frame.fill(0xff, 0, 6);
  const payload = random.oneIn(2) ? framed(frame) : frame;
  if (!isWebSocket) return changed(payload, random);
  const opcode = random.pick([2, 2, 2, 2, 0, 1, 8, 9, 10, 3]);
  const length = random.oneIn(20) ? { length: random.pick([126, 65_536, 1 << 26, 2 ** 52]) } : {};
  const options = { isLast: !random.oneIn(4), ...length };
  return changed(clientFrame(opcode, opcode > 7 ? payload.subarray(0, 125) : payload, options), random);
}

/** Sometimes some of it is missing or wrong. */
function changed(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = bytes.slice();
  if (random.oneIn(6) && copy.length > 0) copy[random.below(copy.length)] = random.below(256);
  return random.oneIn(6) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

function noise(random: Random, most: number): Uint8Array {
  return Uint8Array.from({ length: random.below(most) }, () => random.below(256));
}

function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
