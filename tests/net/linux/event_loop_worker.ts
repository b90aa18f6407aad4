/**
 * A Worker whose thread is held by an event loop, and which answers one message after each wake.
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
const messages: string[] = [];
let came = () => {};
scope.onmessage = ({ data }) => {
  messages.push(data);
  came();
};
scope.postMessage({ wakeFd: loop.wakeFd });
for (let ended = false; !ended;) {
  loop.runBlocking();
  while (messages.length === 0) await new Promise<void>((resolve) => came = resolve);
  const message = messages.shift()!;
  scope.postMessage({ echo: message });
  ended = message === "end";
}
await loop[Symbol.asyncDispose]();
scope.close();
