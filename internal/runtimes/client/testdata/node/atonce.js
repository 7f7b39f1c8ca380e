// Answers when as many invocations run as the event says.
const waiting = [];
exports.handler = async (event, context) => {
  await new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === event.wait) for (const go of waiting) go();
  });
  console.log(context.awsRequestId);
  return context.awsRequestId;
};
