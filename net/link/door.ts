/**
 * Opens doors: on Linux's sockets in an event loop, or on Deno's.
 *
 * @module
 */
import type { EventLoop } from "../linux/event_loop.ts";
import type { Door, DoorHandler, StreamAddress } from "./arrival.ts";
import { bindDenoDoor } from "./deno_door.ts";
import { bindLinuxDoor } from "./linux_door.ts";

/** Binds a door to `address`, in `loop` if there is one. Throws what `listenForStreams` says. */
export async function bindDoor(address: StreamAddress, loop: EventLoop | undefined): Promise<Door> {
  return loop === undefined ? await bindDenoDoor(address) : await bindLinuxDoor(address, loop);
}

/** Opens a door; if that throws, disposes of it first. */
export async function openOrDispose(door: Door, handler: DoorHandler): Promise<void> {
  try {
    door.open(handler);
  } catch (error) {
    await door[Symbol.asyncDispose]();
    throw error;
  }
}
