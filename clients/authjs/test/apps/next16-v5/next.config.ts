import type { NextConfig } from "next";

// next-auth can't be loaded by the pages' router from outside of the bundle.
export default { bundlePagesRouterDependencies: true } satisfies NextConfig;
