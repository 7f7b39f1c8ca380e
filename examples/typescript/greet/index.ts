import { readFileSync } from "node:fs";
import { choose } from "./choose";

interface Request {
  pathParameters?: { name?: string };
  queryStringParameters?: { language?: string };
}

const greetings: Record<string, string> = JSON.parse(readFileSync("/opt/greetings.json", "utf8"));

export const handler = async (event: Request) => {
  const greeting = choose(greetings, event.queryStringParameters?.language ?? "en");
  return { message: `${greeting}, ${event.pathParameters?.name ?? "world"}!` };
};
