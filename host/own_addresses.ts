/**
 * Which addresses are the host's own, by whatever this system has.
 *
 * On Linux with `--allow-ffi` the kernel is asked about each address (`net/linux/host_addresses.ts`). Elsewhere
 * `Deno.networkInterfaces` lists the interfaces', which needs `--allow-sys=networkInterfaces`. That list is looked at
 * when somebody asks, at most once every `CHECK_MS`: an address that the host has just been given may be reached for so
 * long.
 *
 * @module
 */
import type { HostAddresses } from "../nat/host.ts";
import { isLoopback } from "../nat/rules/policy.ts";
import { LinuxHostAddresses } from "../net/linux/host_addresses.ts";
import { IpAddress } from "../net/wire/address.ts";

/** Least time in milliseconds between two looks at the list of interfaces. */
export const CHECK_MS = 2000;

/** The host's addresses, which are to be disposed of. Throws what the constructors here throw. */
export function openHostAddresses(): HostAddresses & Disposable {
  const hasFfi = Deno.build.os === "linux" && Deno.permissions.querySync({ name: "ffi" }).state === "granted";
  return hasFfi ? new LinuxHostAddresses() : new ListedHostAddresses();
}

/** The addresses of the interfaces that Deno lists, and loopback. */
export class ListedHostAddresses implements HostAddresses, Disposable {
  readonly #list: () => readonly { readonly address: string }[];
  readonly #now: () => number;
  #addresses = new Set<string>();
  #version = 0;
  #checkedAt = -Infinity;

  /** Lists them at once. Throws `Deno.errors.NotCapable` without the permission. */
  constructor(
    options: { list?: () => readonly { readonly address: string }[]; now?: () => number } = {},
  ) {
    this.#list = options.list ?? Deno.networkInterfaces;
    this.#now = options.now ?? (() => performance.now());
    try {
      this.version();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      throw new Deno.errors.NotCapable(
        "Cannot learn the host's addresses: the permission is missing, run with --allow-sys=networkInterfaces",
        { cause: error },
      );
    }
  }

  version(): number {
    const now = this.#now();
    if (now - this.#checkedAt < CHECK_MS) return this.#version;
    this.#checkedAt = now;
    const listed = new Set(this.#list().flatMap(({ address }) => textOf(address)));
    const isSame = listed.size === this.#addresses.size && [...listed].every((text) => this.#addresses.has(text));
    if (!isSame) {
      this.#addresses = listed;
      this.#version++;
    }
    return this.#version;
  }

  has(address: IpAddress): boolean {
    this.version();
    return isLoopback(address) || this.#addresses.has(`${address}`);
  }

  [Symbol.dispose](): void {}
}

/** An address in its one form, without a zone; nothing for what is none. */
function textOf(address: string): string[] {
  try {
    return [`${IpAddress.parse(address.split("%")[0]!)}`];
  } catch {
    return [];
  }
}
