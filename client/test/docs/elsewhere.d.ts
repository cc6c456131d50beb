// What the examples import and is not installed here, as far as they use it.

declare module "*.css";

declare module "react-native" {
  type Status = "active" | "background" | "inactive";
  export const AppState: {
    readonly currentState: Status;
    addEventListener(name: "change", listener: (state: Status) => void): { remove(): void };
  };
}
