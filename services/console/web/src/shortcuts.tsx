import { Dialog } from "./parts";
import { pages } from "./shell";

/** Shortcuts tells what the keyboard can do. */
export function Shortcuts({ onClose }: { onClose: () => void }) {
  const keys: [string[], string][] = [
    ...pages.map(({ key, title }): [string[], string] => [["g", key], `Go to ${title}`]),
    [["/"], "Into the page's search or first filter"],
    [["u"], "Local time or UTC"],
    [["Space"], "Live events: pause, or go on"],
    [["↑", "↓"], "Live events and plots: move"],
    [["Enter"], "Live events: open what is marked"],
    [["Esc"], "Close a dialog"],
    [["?"], "This list"],
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(([combination, what]) => (
          <div key={what}><dt>{combination.map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{what}</dd></div>
        ))}
      </dl>
    </Dialog>
  );
}
