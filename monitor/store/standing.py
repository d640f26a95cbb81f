"""What earlier direct questions were answered: shim until the identity room names its type."""

from sqlalchemy.ext.asyncio import AsyncConnection


async def direct_answers(connection: AsyncConnection, target: str):
    from monitor import identity

    return identity.Standing()
