// A method's result as tables and plots name it.
import type { InstanceAttribution } from "../../../../types/results";

/** A method's result with the names it goes by in tables and plots. */
export interface InstanceMethod<A extends InstanceAttribution = InstanceAttribution> {
  readonly name: string;
  readonly role: "method" | "control";
  readonly attribution: A;
}
