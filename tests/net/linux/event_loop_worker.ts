/**
 * A Worker whose thread is held by an event loop: it answers messages whenever it was woken.
 *
 * @module
 */
import { EventLoop } from "../../../net/linux/event_loop.ts";

interface WorkerScope {
  onmessage: ((event: MessageEvent<string>) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

const scope = self as unknown as WorkerScope;
const loop = new EventLoop();
let ended = false, turns = 0;
loop.onTurnEnd(() => {
  turns++;
  return Infinity;
});
scope.onmessage = ({ data }) => {
  scope.postMessage({ echo: data, turns });
  ended = data === "end";
};
scope.postMessage({ wakeFd: loop.wakeFd });
await loop.runInWorker(() => ended);
await loop[Symbol.asyncDispose]();
scope.postMessage({ ended: true });
scope.close();
