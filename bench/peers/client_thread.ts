/**
 * The Worker that is one of several clients at once: is told its share, answers with its samples.
 *
 * @module
 */
import { measure, type Share } from "./exchange.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Share>) => void;
  postMessage(samples: number[]): void;
};
scope.onmessage = ({ data }) => scope.postMessage(measure(data));
