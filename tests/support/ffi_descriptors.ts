/**
 * The descriptors of this process by number, without a child process: for tests that have `--allow-ffi`.
 *
 * /proc/self/fd would want every permission, so the numbers are asked for one by one.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { libc } from "../../net/linux/libc.ts";

const F_GETFD = 1;
const HIGHEST = 2048;

/** The numbers of the open descriptors below 2048, ascending. */
export function descriptorNumbers(): number[] {
  const { fcntl } = libc();
  return Array.from({ length: HIGHEST }, (_, fd) => fd).filter((fd) => fcntl(fd, F_GETFD, 0) >= 0);
}

/**
 * Runs `body` and asserts that afterwards no descriptor is open that was not before; the runtime may have closed some.
 */
export async function assertNoDescriptorLeft(body: () => void | Promise<void>): Promise<void> {
  const before = new Set(descriptorNumbers());
  await body();
  assertEquals(descriptorNumbers().filter((fd) => !before.has(fd)), []);
}
