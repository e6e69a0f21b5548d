import { render } from "preact";

import { App } from "./app";
import { applyTheme } from "./preferences";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";

applyTheme();
render(<App />, document.getElementById("root")!);
