import { assertEquals } from "@std/assert";
import { exitCodeOf, signalNumber } from "../../cli/signals.ts";

Deno.test("exitCodeOf is the command's own code", () => {
  for (const code of [0, 1, 127, 255]) assertEquals(exitCodeOf({ code, signal: null }), code);
});

Deno.test("exitCodeOf is 128+n for signal n, real-time signals included", () => {
  for (const signal of [1, 9, 15, 31, 34, 64]) assertEquals(exitCodeOf({ code: null, signal }), 128 + signal);
});

Deno.test("signalNumber is that of signal(7)", () => {
  const numbers: Record<string, number> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGUSR1: 10,
    SIGSEGV: 11,
    SIGUSR2: 12,
    SIGPIPE: 13,
    SIGTERM: 15,
    SIGCONT: 18,
    SIGSTOP: 19,
    SIGIO: 29,
    SIGPOLL: 29,
    SIGSYS: 31,
  };
  for (const [signal, number] of Object.entries(numbers)) {
    assertEquals(signalNumber(signal), number, signal);
  }
});

Deno.test("signalNumber of a name that is not known is 0", () => {
  for (const name of ["SIGRT40", "", "SIG"]) assertEquals(signalNumber(name), 0, name);
});
