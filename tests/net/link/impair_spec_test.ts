import { assertEquals, assertThrows } from "@std/assert";
import { type ImpairmentSpec, parseImpairment } from "../../../net/link/impair_spec.ts";
import { lossyLink } from "../../../net/link/lossy.ts";
import { ScriptLink } from "../../support/link_recorder.ts";

Deno.test("parseImpairment reads every word with its units, in any order", () => {
  const good: [string, ImpairmentSpec][] = [
    ["loss=1%", { loss: 0.01 }],
    ["loss=0%", { loss: 0 }],
    ["loss=100%", { loss: 1 }],
    ["loss=0.5%", { loss: 0.005 }],
    ["delay=20ms", { delayMs: 20 }],
    ["delay=1.5s", { delayMs: 1500 }],
    ["delay=60s", { delayMs: 60000 }],
    ["delay=500us", { delayMs: 0.5 }],
    ["jitter=5ms", { jitterMs: 5 }],
    ["rate=10mbit", { rate: 10e6 }],
    ["rate=2.5gbit", { rate: 2.5e9 }],
    ["rate=64kbit", { rate: 64e3 }],
    ["rate=9600bit", { rate: 9600 }],
    ["reorder=1%,delay=1ms", { reorder: 0.01, delayMs: 1 }],
    ["duplicate=25%", { duplicate: 0.25 }],
    ["seed=0", { seed: 0 }],
    ["seed=4294967295", { seed: 4294967295 }],
    ["loss=1%,delay=20ms,jitter=5ms,rate=10mbit,reorder=1%,duplicate=1%,seed=7", {
      loss: 0.01,
      delayMs: 20,
      jitterMs: 5,
      rate: 10e6,
      reorder: 0.01,
      duplicate: 0.01,
      seed: 7,
    }],
  ];
  for (const [text, options] of good) {
    assertEquals(parseImpairment(text), options, text);
    lossyLink(new ScriptLink(), parseImpairment(text));
  }
});

Deno.test("parseImpairment says of each mistake what would be right", () => {
  const list = "it is a list of loss, delay, jitter, rate, reorder, duplicate, seed, such as loss=1%,delay=20ms";
  const bad: [string, string][] = [
    ["", list],
    ["loss", list],
    ["lossy=1%", list],
    ["loss=1%,", list],
    ["toString=1", list],
    [" loss=1%", list],
    ["loss=1", "loss is a percentage from 0% to 100%, such as 1%"],
    ["loss=101%", "loss is a percentage from 0% to 100%, such as 1%"],
    ["loss=-1%", "loss is a percentage from 0% to 100%, such as 1%"],
    ["loss=%", "loss is a percentage from 0% to 100%, such as 1%"],
    ["delay=20", "delay is a time up to 60s, such as 20ms"],
    ["delay=61s", "delay is a time up to 60s, such as 20ms"],
    ["delay=1e3ms", "delay is a time up to 60s, such as 20ms"],
    ["jitter=fast", "jitter is a time up to 60s, such as 5ms"],
    ["rate=0bit", "rate is a number of bits a second, such as 10mbit"],
    ["rate=10", "rate is a number of bits a second, such as 10mbit"],
    ["rate=10MB", "rate is a number of bits a second, such as 10mbit"],
    ["seed=1.5", "seed is a whole number from 0 to 4294967295"],
    ["seed=4294967296", "seed is a whole number from 0 to 4294967295"],
    ["loss=1%,loss=2%", "loss is given once"],
    ["reorder=1%", "reorder needs a delay that a frame can skip, such as delay=20ms"],
    ["reorder=1%,delay=0ms", "reorder needs a delay that a frame can skip, such as delay=20ms"],
  ];
  for (const [text, message] of bad) {
    const error = assertThrows(() => parseImpairment(text), TypeError);
    assertEquals((error as Error).message, message, text);
  }
});
