// A handler that brings AWS's SDK for JavaScript, version 3, along.
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient, PutCommand } from '@aws-sdk/lib-dynamodb'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'

// As on Lambda: the region comes from the environment, and clients outlive
// events. AWS_ENDPOINT_URL, where it is set, leads them elsewhere;
// credentials are the function's own, while it has none of a role.
const { ACCESS_KEY: accessKeyId, SECRET_KEY: secretAccessKey } = process.env
const credentials = accessKeyId && { accessKeyId, secretAccessKey }
const s3 = new S3Client({ maxAttempts: 1, forcePathStyle: true, credentials })
const dynamo = new DynamoDBClient({ maxAttempts: 1, credentials })
const documents = DynamoDBDocumentClient.from(dynamo)

const commands = {
  region: () => s3.config.region(),
  get: async () => (await s3.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'key' }))).Body.transformToString(),
  list: async () => (await dynamo.send(new ListTablesCommand({}))).TableNames,
  put: () => documents.send(new PutCommand({ TableName: 'table', Item: { id: 1 } })),
}

export const handler = async ({ do: what }) => {
  try {
    return { answer: await commands[what]() }
  } catch (err) {
    return { name: err.name, message: err.message, code: err.code ?? err.cause?.code }
  }
}
