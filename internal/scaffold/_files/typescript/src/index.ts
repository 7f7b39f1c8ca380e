interface Request {
  pathParameters: { who: string };
}

interface Answer {
  message: string;
}

export async function handler(request: Request): Promise<Answer> {
  const { who } = request.pathParameters;
  console.info("greeting", who);
  return { message: `${process.env.GREETING}, ${who}!` };
}
