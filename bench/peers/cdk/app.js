// A CDK app of RESOURCES resources in as many stacks as CloudFormation's limit of 500 a stack asks for.
// The mix is that of an IoT platform: thing groups, topics with subscriptions, queues, tables, alarms, log groups.
"use strict";
const { App, Stack, Duration, aws_iot, aws_sns, aws_sqs, aws_dynamodb, aws_cloudwatch, aws_logs } = require("aws-cdk-lib");

const STACK_RESOURCES_MAX = 450;
const total = Number(process.env.RESOURCES);
if (!Number.isInteger(total) || total < 1) throw new Error("RESOURCES must be a whole number above 0");

const kinds = [
  (stack, id) => new aws_iot.CfnThingGroup(stack, id, { thingGroupName: `zone-${id}`, thingGroupProperties: { thingGroupDescription: id } }),
  (stack, id) => new aws_sns.Topic(stack, id, { topicName: id, displayName: id }),
  (stack, id) => new aws_sqs.Queue(stack, id, { retentionPeriod: Duration.days(14), encryption: aws_sqs.QueueEncryption.SQS_MANAGED }),
  (stack, id) => new aws_dynamodb.Table(stack, id, { partitionKey: { name: "id", type: aws_dynamodb.AttributeType.STRING }, billingMode: aws_dynamodb.BillingMode.PAY_PER_REQUEST }),
  (stack, id) => new aws_logs.LogGroup(stack, id, { retention: aws_logs.RetentionDays.ONE_MONTH }),
  (stack, id) => new aws_cloudwatch.Alarm(stack, id, {
    metric: new aws_cloudwatch.Metric({ namespace: "fleetform", metricName: id, period: Duration.minutes(5), statistic: "Maximum" }),
    threshold: 60, evaluationPeriods: 1,
  }),
];

const app = new App({ analyticsReporting: false, outdir: process.env.OUT_DIR });
let stack;
for (let made = 0; made < total; made += 1) {
  if (made % STACK_RESOURCES_MAX === 0) stack = new Stack(app, `Stack${made / STACK_RESOURCES_MAX}`);
  kinds[made % kinds.length](stack, `R${made}`);
}
app.synth();
