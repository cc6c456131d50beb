import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    testTimeout: 240_000,
    hookTimeout: 240_000,
    restoreMocks: true,
    unstubGlobals: true,
    projects: [
      {
        extends: true,
        test: {
          name: "node",
          environment: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/element/**", "test/react/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "dom",
          environment: "happy-dom",
          include: ["test/element/**/*.test.ts", "test/react/**/*.test.ts"],
        },
      },
    ],
  },
});
