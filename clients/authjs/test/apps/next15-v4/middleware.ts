import { checkedDecode } from "@curfew/authjs/next-auth4";
import { withAuth } from "next-auth/middleware";

import { options } from "./options";

// On the edge, where there is fetch and no socket.
export default withAuth({ jwt: { decode: checkedDecode(options) } });

export const config = { matcher: ["/dash"] };
