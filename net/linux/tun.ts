/**
 * Opening a TAP device: /dev/net/tun, TUNSETIFF, TUNSETOFFLOAD.
 *
 * A descriptor of /dev/net/tun becomes one end of a cable: what the kernel sends out of the interface can be read from
 * it, one frame a read, and what is written to it arrives at the interface. The interface appears in the network
 * namespace in which the descriptor was opened, whoever configures it, and vanishes with the descriptor.
 *
 * With offload each frame is preceded by a virtio-net header of 10 bytes (VIRTIO 1.2 section 5.1.6, the legacy form, in
 * little-endian), and the kernel neither completes checksums nor cuts TCP up before it hands a frame over.
 *
 * @module
 */
import {
  cString,
  describeErrno,
  EACCES,
  EBUSY,
  EINVAL,
  EMFILE,
  ENFILE,
  ENODEV,
  ENOENT,
  ENOTTY,
  ENXIO,
  EPERM,
  errno,
  libc,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
} from "./libc.ts";

const DEVICE = "/dev/net/tun";
const TUNSETIFF = 0x400454can;
const TUNSETOFFLOAD = 0x400454d0n;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 1n;
const TUN_F_TSO4 = 2n;
const TUN_F_TSO6 = 4n;
const F_GETFL = 3;
const F_SETFL = 4;
const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

/** What a TAP device is to be. */
export interface TunOptions {
  /** Name of the interface: at most 15 bytes, without `/` or space. */
  name: string;
  /** Whether the kernel may leave checksums and segmentation undone, and a virtio-net header precedes each frame. */
  offload: boolean;
}

/**
 * Opens /dev/net/tun. The interface that is made of the descriptor appears in the network namespace of this thread. It
 * never waits and is the caller's to close. Throws `Deno.errors.NotFound`, `PermissionDenied` or an `Error`, each with
 * what can be done.
 */
export function openTun(): number {
  const fd = libc().open(cString(DEVICE), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) return fd;
  const code = errno(), action = `Cannot open ${DEVICE}`;
  switch (code) {
    case ENOENT:
      throw new Deno.errors.NotFound(
        `${action}: the device file is absent, load the module with "modprobe tun" or, in a container, pass the device ` +
          `in with --device ${DEVICE}`,
      );
    case ENODEV:
    case ENXIO:
      throw new Deno.errors.NotFound(`${action}: the kernel has no TUN/TAP driver, load it with "modprobe tun"`);
    case EACCES:
    case EPERM:
      throw new Deno.errors.PermissionDenied(
        `${action}: this user may not read and write it, make it accessible with "chmod 666 ${DEVICE}" as root` +
          (code === EPERM ? " or allow it in the container's device rules" : ""),
      );
    case EMFILE:
    case ENFILE:
      throw new Error(`${action}: ${describeErrno(code)}, raise the limit of open files (ulimit -n)`);
    default:
      throw new Error(`${action}: ${describeErrno(code)}`);
  }
}

/**
 * Makes a descriptor of /dev/net/tun the TAP device that `options` describe, and has it never wait. Throws
 * `Deno.errors.PermissionDenied`, `Busy`, a `TypeError` for a bad name, or an `Error`; the descriptor stays the
 * caller's.
 */
export function configureTun(fd: number, options: TunOptions): void {
  const c = libc(), { name, offload } = options;
  const action = `Cannot create TAP interface ${name}`;
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ || /[\s/\0:]/.test(name) || name === "." || name === "..") {
    throw new TypeError(`${action}: a name has 1 to ${IFNAMSIZ - 1} bytes and none of space, colon and slash`);
  }
  const flags = c.fcntl(fd, F_GETFL, 0);
  if (flags < 0 || c.fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw new Error(`${action}: descriptor ${fd} is unusable, ${describeErrno(errno())}`);
  }
  c.fcntl(fd, F_SETFD, c.fcntl(fd, F_GETFD, 0) | FD_CLOEXEC);
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(bytes);
  const wanted = IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0);
  request[IFNAMSIZ] = wanted & 0xff;
  request[IFNAMSIZ + 1] = wanted >> 8;
  if (c.ioctl(fd, TUNSETIFF, request) < 0) throw creationFailure(action, errno());
  if (offload && c.ioctlValue(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0) {
    throw new Error(`Cannot set offload of TAP interface ${name}: ${describeErrno(errno())}, run without offload`);
  }
}

function creationFailure(action: string, code: number): Error {
  switch (code) {
    case EPERM:
      return new Deno.errors.PermissionDenied(
        `${action}: this needs CAP_NET_ADMIN in the network namespace in which ${DEVICE} was opened, ` +
          "run as root or in a user namespace of your own",
      );
    case EBUSY:
      return new Deno.errors.Busy(`${action}: another program serves an interface of that name, choose another name`);
    case EINVAL:
      return new Error(
        `${action}: an interface of that name exists with other properties, delete it or choose another name`,
      );
    case ENOTTY:
      return new TypeError(`${action}: the descriptor is not one of ${DEVICE}`);
    default:
      return new Error(`${action}: ${describeErrno(code)}`);
  }
}
