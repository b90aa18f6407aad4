/**
 * What tests of the event loop share: descriptors that are ready on demand, and a loop that runs for a while.
 *
 * @module
 */
import type { EventLoop } from "../../net/linux/event_loop.ts";
import { libc } from "../../net/linux/libc.ts";
import { assertNoDescriptorLeft } from "./ffi_descriptors.ts";
import { requires } from "./requirements.ts";

const needs = requires("linux", "ffi");
const NONBLOCK_CLOEXEC = 0x80800;

/** What is written to an eventfd to make it readable. */
export const ONE: Uint8Array = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

/** Registers a test of `symbol` that may leave no descriptor. */
export function loopTest(symbol: string, name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `${symbol} ${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

/** An eventfd: always writable, readable after a write. */
export function openEventFd(): number {
  return libc().eventfd(0, NONBLOCK_CLOEXEC);
}

/** Whether a descriptor is open. */
export function isOpen(fd: number): boolean {
  return libc().fcntl(fd, 1, 0) >= 0;
}

/** Lets other code run. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs turns until nothing happens for a millisecond. */
export function runAWhile(loop: EventLoop): void {
  loop.runBlocking(performance.now() + 1);
}
