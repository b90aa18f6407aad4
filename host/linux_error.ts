/**
 * Linux's error numbers in the classes that a guest can be told apart.
 *
 * @module
 */
import type { HostError, HostListenError } from "../nat/host.ts";
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  ECONNABORTED,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMFILE,
  EMSGSIZE,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EPERM,
  EPIPE,
  ETIMEDOUT,
} from "../net/linux/libc.ts";

/** The class of an error number of connect(2), recv(2) or send(2). */
export function hostError(code: number): HostError {
  switch (code) {
    case ECONNREFUSED:
      return "refused";
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
      return "reset";
    case ENETUNREACH:
    case EAFNOSUPPORT:
      return "networkUnreachable";
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return "hostUnreachable";
    case EACCES:
    case EPERM:
      return "prohibited";
    case ETIMEDOUT:
      return "timedOut";
    case EMSGSIZE:
      return "tooLarge";
    // EAGAIN from connect(2): all local ports are taken.
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EAGAIN:
      return "exhausted";
    default:
      return "other";
  }
}

/** The class of an error number of socket(2), bind(2) or listen(2). */
export function listenError(code: number): HostListenError {
  switch (code) {
    case EADDRINUSE:
      return "addressInUse";
    case EACCES:
    case EPERM:
      return "privileged";
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return "addressNotAvailable";
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return "exhausted";
    default:
      return "other";
  }
}
