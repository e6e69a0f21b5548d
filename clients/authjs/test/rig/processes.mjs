import { spawn } from "node:child_process";
import { once } from "node:events";

/** instance starts one instance of an application and returns its address. */
export async function instance(options, folder) {
  const script = new URL("./instance.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, JSON.stringify(options), ...(folder ? [folder] : [])], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => Promise.reject(new Error("the instance ended")))]);
  return {
    url: String(line).trim(),
    async kill(signal = "SIGKILL") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill(signal);
      await gone;
    },
  };
}
