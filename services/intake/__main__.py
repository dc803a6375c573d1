"""`python -m services.intake`: serve until told to stop."""

from libs.service.run import serve
from services.intake.app import IntakeSettings, make_app

if __name__ == "__main__":
    settings = IntakeSettings.read()
    serve(make_app(settings), settings)
