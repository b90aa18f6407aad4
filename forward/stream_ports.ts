/**
 * Listening on a TCP port or a Unix socket.
 *
 * **A Unix socket's file** outlives a process that was killed, and then stands in the way of the next one. So a socket
 * file that nobody answers is removed; one that is answered is in use; and whatever is no socket is never touched.
 * Closing a listener makes Deno remove its path, whatever stands there by then. Therefore a listener whose path is
 * another file by now is only forgotten, and its descriptor stays until the process ends.
 *
 * @module
 */
import { formatStreamEndpoint, type StreamEndpoint } from "./stream_endpoint.ts";

/** A listener, and where it listens. */
export interface StreamListener {
  /** Where: with the real port where 0 was asked for. */
  readonly endpoint: StreamEndpoint;
  /** Resolves to the next connection. Rejects when the listener is closed. */
  accept(): Promise<Deno.Conn>;
  /** Stops listening and removes what it has made. */
  close(): void;
}

/**
 * Listens. Throws what `Deno.listen` throws with the place in its message: `Deno.errors.AddrInUse` where someone
 * listens already, `Deno.errors.AlreadyExists` where the path of a Unix socket is another file.
 */
export async function listenStream(endpoint: StreamEndpoint): Promise<StreamListener> {
  try {
    return endpoint.transport === "tcp" ? listenTcp(endpoint) : await listenUnix(endpoint.path);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const ErrorClass = error.constructor as ErrorConstructor;
    throw new ErrorClass(`Cannot listen on ${formatStreamEndpoint(endpoint)}: ${error.message}`, { cause: error });
  }
}

function listenTcp({ hostname, port }: StreamEndpoint & { transport: "tcp" }): StreamListener {
  const listener = Deno.listen({ hostname, port });
  return {
    endpoint: { transport: "tcp", hostname, port: listener.addr.port },
    accept: () => listener.accept(),
    close: () => listener.close(),
  };
}

async function listenUnix(path: string): Promise<StreamListener> {
  if (await isStale(path)) Deno.removeSync(path);
  const listener = Deno.listen({ transport: "unix", path }), made = Deno.lstatSync(path);
  let closed = false, refuse: (why: Error) => void = () => {};
  return {
    endpoint: { transport: "unix", path },
    accept: () =>
      new Promise((resolve, reject) => {
        refuse = reject;
        listener.accept().then((conn) => closed ? conn.close() : resolve(conn), reject);
      }),
    close() {
      closed = true;
      const now = lstat(path);
      if (now === null || (now.ino === made.ino && now.dev === made.dev)) return listener.close();
      listener.unref();
      refuse(new Deno.errors.BadResource("The listener is closed"));
    },
  };
}

/** Whether a socket that nobody answers stands at `path`. Throws where something else does. */
async function isStale(path: string): Promise<boolean> {
  const file = lstat(path);
  if (file === null) return false;
  if (!file.isSocket) throw new Deno.errors.AlreadyExists("there is a file of that name, and it is no socket");
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return true;
    throw error;
  }
  throw new Deno.errors.AddrInUse("someone listens there");
}

function lstat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
