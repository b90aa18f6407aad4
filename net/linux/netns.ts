/**
 * Network namespaces that exist already, and the user namespaces to which they belong (ioctl_ns(2)).
 *
 * Who enters a network namespace needs CAP_SYS_ADMIN in the user namespace that **owns** it. That is the one in which
 * it was made, and need not be that of the processes in it: bubblewrap makes a network namespace in one user namespace
 * and starts its command in a further one inside that. So the kernel is asked who the owner is. It answers only if the
 * owner is the user namespace of this process or lies within that.
 *
 * @module
 */
import { cString, describeErrno, EACCES, ENOENT, ENOTTY, EPERM, errno, ESRCH, libc, O_RDONLY } from "./libc.ts";
import { byteText } from "./byte_text.ts";

const NS_GET_USERNS = 0xb701n;
const NS_GET_NSTYPE = 0xb703n;
const CLONE_NEWNET = 0x40000000;
const F_SETFD = 2;
const LINK_BYTES = 64;

/** An open network namespace; dispose of it to close its descriptors. */
export class NetworkNamespace implements Disposable {
  /** Its descriptor, which programs that are started inherit. */
  readonly fd: number;
  /** The user namespace that owns it, likewise; `undefined` if that is the one of this process. */
  readonly ownerFd: number | undefined;

  private constructor(fd: number, ownerFd: number | undefined) {
    this.fd = fd;
    this.ownerFd = ownerFd;
  }

  /**
   * Opens the namespace at a path, such as `/run/netns/blue` or `/proc/4711/ns/net`. Throws `Deno.errors.NotFound`,
   * `Deno.errors.PermissionDenied`, a `TypeError` if it is something else, or an `Error`.
   */
  static open(path: string): NetworkNamespace {
    const c = libc(), action = `Cannot enter network namespace ${path}`;
    const fd = c.open(cString(path), O_RDONLY);
    if (fd < 0) throw openFailure(action, errno());
    const kind = c.ioctlValue(fd, NS_GET_NSTYPE, 0n), kindCode = kind < 0 ? errno() : 0;
    if (kind !== CLONE_NEWNET) {
      c.close(fd);
      if (kind >= 0 || kindCode === ENOTTY) throw new TypeError(`${action}: this is not a network namespace`);
      throw new Error(`${action}: ${describeErrno(kindCode)}`);
    }
    const ownerFd = c.ioctlValue(fd, NS_GET_USERNS, 0n), code = ownerFd < 0 ? errno() : 0;
    if (ownerFd < 0) {
      c.close(fd);
      if (code !== EPERM) throw new Error(`${action}: ${describeErrno(code)}`);
      throw new Deno.errors.PermissionDenied(
        `${action}: it belongs to a user namespace around this one, run outside of this container or sandbox`,
      );
    }
    if (linkOf(`/proc/self/fd/${ownerFd}`) !== linkOf("/proc/self/ns/user")) {
      c.fcntl(ownerFd, F_SETFD, 0);
      return new NetworkNamespace(fd, ownerFd);
    }
    // A process cannot enter the user namespace in which it is.
    c.close(ownerFd);
    return new NetworkNamespace(fd, undefined);
  }

  /** Closes the descriptors. */
  [Symbol.dispose](): void {
    libc().close(this.fd);
    if (this.ownerFd !== undefined) libc().close(this.ownerFd);
  }
}

function openFailure(action: string, code: number): Error {
  switch (code) {
    case ENOENT:
    case ESRCH:
      return new Deno.errors.NotFound(`${action}: there is none of that name, see "ip netns list"`);
    case EACCES:
    case EPERM:
      return new Deno.errors.PermissionDenied(`${action}: permission denied, run as root`);
    default:
      return new Error(`${action}: ${describeErrno(code)}`);
  }
}

/** What a link leads to: of a namespace, its kind and number. */
function linkOf(path: string): string {
  const bytes = new Uint8Array(LINK_BYTES), length = libc().readlink(cString(path), bytes, BigInt(LINK_BYTES));
  return length < 0 ? "" : byteText(bytes.subarray(0, length));
}
