export async function handler(event) {
  const { who } = event.pathParameters;
  console.info("greeting", who);
  return { message: `${process.env.GREETING}, ${who}!` };
}
