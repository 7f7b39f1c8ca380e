export function choose(greetings: Record<string, string>, language: string): string {
  const greeting = greetings[language];
  if (greeting === undefined) {
    throw new RangeError(`there is no greeting in ${language}`);
  }
  return greeting;
}
