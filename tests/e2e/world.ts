/**
 * A gateway in this process, a guest's kernel in a namespace, and programs at both ends: for tests that look at the
 * gateway while they go on.
 *
 * The guest's only route is its own subnet, so that nothing in it can send a packet to anywhere else.
 *
 * @module
 */
import { Gateway, type GatewayOptions } from "../../mod.ts";
import { tapLink } from "../../net/link/tap.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { GUEST_NEEDS, TapGuest } from "../support/tap_guest.ts";
import { Program } from "./program.ts";

/** What it needs of the machine, for `requires`. */
export const WORLD_NEEDS = ["linux", ...GUEST_NEEDS, "nsenter"];

/** The gateway, its guest and what runs at both ends. */
export class World implements AsyncDisposable {
  /** The gateway; its guest is 10.0.2.15 at MTU 65520. */
  readonly gateway: Gateway;
  readonly #loop: EventLoop;
  readonly #shell: TapGuest;
  readonly #programs: Program[] = [];

  private constructor(parts: { gateway: Gateway; loop: EventLoop; shell: TapGuest }) {
    this.gateway = parts.gateway;
    this.#loop = parts.loop;
    this.#shell = parts.shell;
  }

  /** A world without programs. */
  static async create(options: GatewayOptions = {}): Promise<World> {
    const loop = EventLoop.shared(), shell = await TapGuest.start();
    const gateway = await Gateway.start({ host: "ffi", dns: "none", ...options });
    gateway.attach(tapLink({ loop, fd: shell.takeTun(), name: "eth0", mtu: 65520 }));
    const world = new World({ gateway, loop, shell });
    await world.run(
      "exec 9>&-; ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 mtu 65520 txqueuelen 10000 up",
    );
    return world;
  }

  /** Runs a line of bash in the guest and gives what it wrote. Throws an `Error` when it fails. */
  run(line: string): Promise<string> {
    return this.#shell.run(line);
  }

  /** Starts `fate_guest.ts` in the guest. */
  guest(): Program {
    return this.inGuest("./fate_guest.ts", ["--allow-net=10.0.2.2"]);
  }

  /** Starts a program of this folder in the guest. */
  inGuest(file: string, permissions: readonly string[]): Program {
    const before = ["nsenter", "--net", "--target", `${this.#shell.pid}`, "--"];
    return this.#start(file, { before, permissions });
  }

  /** Starts `fate_host.ts` on the host. */
  host(): Program {
    return this.#start("./fate_host.ts", { permissions: ["--allow-net=127.0.0.1"] });
  }

  /** Ends everything, the programs first. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    await this.gateway[Symbol.asyncDispose]();
    await this.#shell[Symbol.asyncDispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #start(file: string, options: { before?: readonly string[]; permissions: readonly string[] }): Program {
    const program = new Program(new URL(file, import.meta.url), options);
    this.#programs.push(program);
    return program;
  }
}
