/**
 * Starting the agent in a namespace (`loopback_agent.ts`): a shell that waits there for a line and becomes it.
 *
 * @module
 */
import type { Logger } from "../nat/base/logger.ts";
import { ROUTER_LINK_LOCAL, type Segments } from "../nat/rules/segment.ts";
import { utf8ByteText } from "../net/linux/byte_text.ts";
import { inheritedDescriptors, originalEnvironment } from "../net/linux/process.ts";
import { LineSocket, spawn } from "../net/linux/spawn.ts";
import { AGENT_WORD, itselfAs } from "./itself.ts";
import type { WayIn } from "./listening_place.ts";
import { AgentDoor, type AgentLine } from "./loopback_door.ts";
import { findTool } from "./tools.ts";

const WAIT = 'read -r go && exec "$@"';
/** Where Deno keeps what it has compiled. */
const CACHES = ["HOME=", "XDG_CACHE_HOME=", "DENO_DIR="];
/** Nothing of what Deno says beside its program is for anybody. */
const QUIET = ["NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1"];

/**
 * Opens a door to the loopback of the namespace to which this way leads. Nothing but a shell is started. Throws an
 * `Error` if it cannot be.
 */
export function openDoor(way: WayIn, { ipv4, ipv6 }: Segments, logger: Logger): AgentDoor {
  const gateways = [ipv4, ipv6].flatMap((segment) => segment?.gateway ?? []);
  return new AgentDoor({
    gateways: ipv6 === null ? gateways : [...gateways, ROUTER_LINK_LOCAL],
    line: (hear, ended) => startShell(way, hear, ended),
    lost: () => logger.warn("The agent in the namespace was ended: its loopback leads nowhere any more"),
    random: (below) => Math.floor(Math.random() * below),
  });
}

function startShell({ words, env, passedOn = [] }: WayIn, hear: (line: string) => void, ended: () => void): AgentLine {
  const agent = itselfAs(AGENT_WORD, Deno.mainModule), shell = findTool("sh", env);
  if (agent === undefined || shell === undefined) {
    throw new Error("Cannot start an agent in the namespace: there is no file of Hawser, or no shell");
  }
  const caches = (originalEnvironment() ?? []).filter((variable) => CACHES.some((name) => variable.startsWith(name)));
  const socket = new LineSocket(hear), { theirs } = socket;
  void socket.closed.then(ended);
  try {
    spawn({
      path: words[0]!,
      args: [...words, shell, "-c", WAIT, "sh", ...agent.map(utf8ByteText)],
      env: [...env, ...caches, ...QUIET],
      stdio: [theirs, theirs, theirs],
      closed: inheritedDescriptors().filter((fd) => !passedOn.includes(fd)),
      ownSession: true,
    });
  } catch (error) {
    socket.abandon();
    throw error;
  }
  socket.started();
  return { say: (line) => socket.say(line), abandon: () => socket.abandon() };
}
