/**
 * What carries frames between a guest and the gateway.
 *
 * A link is full duplex and keeps frame boundaries. It may lose frames (TCP repairs that), it never waits: `send`
 * either takes the frame or drops it and says so.
 *
 * **Ownership.** A frame given to the receiver is valid until `receive` returns; whoever needs it longer copies it. A
 * frame given to `send` is the caller's again when `send` returns, except that the link may have overwritten up to
 * `headroom` bytes in front of it.
 *
 * **Batches.** A link delivers frames in batches: `receive` for each, then `flush` once. Towards the guest, `send` may
 * hold a copy back until the gateway calls `flush`, which it does at the end of each turn.
 *
 * **Offload.** A link with `offload` carries TCP segments of up to 64 KiB whatever its MTU is, and frames whose
 * transport checksum is partial (see `Frame`), which it may complete in place. It may have `offload` only from some
 * frame on. A link without it carries plain frames of at most `mtu` + 14 bytes. It delivers whatever the guest sends,
 * from no bytes at all to `LONGEST_FRAME`: the receiver judges.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";

/** The gateway's side of a link. */
export interface LinkReceiver {
  /** Takes one frame from the guest. The frame is valid until this returns. Never throws. */
  receive(frame: Frame): void;
  /** The batch is over: what the frames gave rise to may now be sent. */
  flush(): void;
  /** The link has ended: by `close()`, by the guest, or by `error`. Called once. */
  closed(error?: Error): void;
}

/** A carrier of Ethernet frames. */
export interface Link extends AsyncDisposable {
  /** What the link is, for messages: `tap eth0`, `memory`. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** Bytes that must be writable in front of a frame given to `send`. */
  readonly headroom: number;
  /** Whether partial checksums and 64 KiB TCP segments may be sent, and are vouched for when received. */
  readonly offload: boolean;
  /** Whose time the work for its guest takes, for a host that shares its time among guests (`turn_shares.ts`). */
  readonly payer?: object | undefined;
  /** Frames that `send` could not take, since the link began. */
  readonly dropped: number;
  /**
   * Frames that are on their way in the link, in either direction, as far as it can tell. Absent from one that can tell
   * of none.
   */
  readonly underWay?: number;
  /** Begins delivering frames. Throws an `Error` when called twice. */
  start(receiver: LinkReceiver): void;
  /** Sends a frame to the guest, or drops it: returns whether it was taken. Never blocks. */
  send(frame: Frame): boolean;
  /** Sends what `send` held back. */
  flush(): void;
  /** Ends the link and frees what it holds. May be called again. */
  close(): Promise<void>;
}
