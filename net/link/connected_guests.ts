/**
 * The guests of a listener whose links are connections.
 *
 * A connection without a frame is no guest yet, and may never be one. Time does not tell: a virtual machine connects
 * when it is started, and sends its first frame minutes later, when its system asks for an address. So their number is
 * bounded and not their time: beyond `MOST_SILENT` the one that has been silent longest makes room for the newest.
 *
 * @module
 */
import type { Door } from "./arrival.ts";
import { openOrDispose } from "./door.ts";
import type { Link } from "./link.ts";
import { GuestCount, type LinkListener, type ListenerOptions, MOST_GUESTS } from "./listener.ts";

/** How many guests of a listener may be connections that have not sent a frame yet. */
export const MOST_SILENT: number = MOST_GUESTS / 4;

/** What a guest's link is made with. */
export interface GuestLinkOptions {
  /** What it is, for messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** To be called once when the first frame has come. */
  readonly spoke: () => void;
  /** To be called once when it has ended. */
  readonly ended: () => void;
}

/** The guests of one listener. */
export class ConnectedGuests {
  /** Where the listener listens. */
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #count: GuestCount;
  /** Those that have not sent a frame yet, in the order in which they came. */
  readonly #silent = new Set<Link>();

  /** The guests of a listener at `address`. */
  constructor(address: string, options: ListenerOptions) {
    this.address = address;
    this.#options = options;
    this.#count = new GuestCount(address, options);
  }

  /**
   * Attaches the link that `makeLink` makes, or returns false if there are too many guests. Throws what
   * `makeLink` throws.
   */
  admit(
    from: string,
    makeLink: (options: GuestLinkOptions) => Link,
  ): boolean {
    if (!this.#count.take()) return false;
    const silent = this.#silent, { mtu = 1500 } = this.#options;
    const name = from === "" ? this.address : `${this.address} from ${from}`;
    let link: Link | undefined;
    const spoke = () => void silent.delete(link!);
    const ended = () => {
      silent.delete(link!);
      this.#count.gone();
    };
    try {
      link = makeLink({ name, mtu, spoke, ended });
    } catch (error) {
      this.#count.gone();
      throw error;
    }
    silent.add(link);
    if (silent.size > MOST_SILENT) this.#endLongestSilent();
    this.#options.attach(link);
    return true;
  }

  #endLongestSilent(): void {
    const [link] = this.#silent;
    if (link === undefined) return;
    this.#silent.delete(link);
    this.#options.refused?.(
      `Ended ${link.name}: it has sent no frame, and ${MOST_SILENT} such connections are the limit of a listener`,
      false,
    );
    void link.close();
  }
}

/** Opens a door for streams of this kind, which is the listener's from now on. Throws what `Door.open` does. */
export async function serveStreams(door: Door, kind: string, options: ListenerOptions): Promise<LinkListener> {
  const { offload = false } = options;
  const guests = new ConnectedGuests(`${kind}:${door.place}`, options);
  await openOrDispose(door, {
    arrived: (arrival) => {
      if (!guests.admit(arrival.from, (events) => arrival.link({ ...events, offload }))) arrival.close();
    },
    refused: (message, isExhausted) => options.refused?.(message, isExhausted),
  });
  return { address: guests.address, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
}
