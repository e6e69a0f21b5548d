import { checkedDecode } from "@curfew/authjs/next-auth4";
import { withAuth } from "next-auth/middleware";

import { options, plain } from "./options";

// On the edge, where there is fetch and no socket.
export default withAuth(plain ? {} : { jwt: { decode: checkedDecode(options) } });

export const config = { matcher: ["/dash"] };
