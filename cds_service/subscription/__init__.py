"""Results that no user is looking at: a FHIR server announces them by a Subscription, the judgement goes out as a resource.

Receive, store and acknowledge; judge; send. Each step begins from what the database holds, so a process that dies anywhere
goes on where it was. See docs/subscriptions.md.
"""
