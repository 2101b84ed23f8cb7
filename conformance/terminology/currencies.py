"""The currencies of ISO 4217, the code system of https://hl7.org/fhir/R4/valueset-currencies.html.

Codes in use, those of funds and metals among them, and those of currencies that are gone, which old accounts still name.
GGP, IMP, JEP and TVD aren't ISO's, but FHIR lists them in its expansion of the value set.
"""

from __future__ import annotations

from conformance.terminology.memory import ResourceCodeSystem

URL = "urn:iso:std:iso:4217"

_IN_USE = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD
MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU
UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG
GGP IMP JEP TVD
"""
_GONE = """
ADP AFA ALK AOK AON AOR ARA ARP ARY ATS AYM AZM BAD BEC BEF BEL BGJ BGK BGL BOP BRB BRC BRE BRN BRR BUK BYB BYR CHC CSD
CSJ CSK CUC CYP DDM DEM ECS ECV EEK ESA ESB ESP FIM FRF GEK GHC GHP GNE GNS GQE GRD GWE GWP HRD HRK IEP ILP ILR ISJ ITL
LAJ LSM LTL LTT LUC LUF LUL LVL LVR MGF MLF MRO MTL MTP MVQ MWK MXP MZE MZM NIC NLG PEH PEI PES PLZ PTE RHD ROK ROL RUR
SDD SDP SIT SKK SLL SRG STD SUR TJR TMM TPE TRL UAK UGS UGW USS UYN UYP VEB VEF VNC XEU XFO XFU XRE YDD YUD YUM YUN ZAL
ZMK ZRN ZRZ ZWC ZWD ZWL ZWN ZWR
"""


def _read() -> ResourceCodeSystem:
    used = _IN_USE.split()
    gone = [code for code in _GONE.split() if code not in used]
    retired = [{"code": "inactive", "valueBoolean": True}]
    return ResourceCodeSystem(
        {
            "resourceType": "CodeSystem", "url": URL, "name": "ISO4217", "title": "ISO 4217 currencies",
            "status": "active", "content": "complete", "caseSensitive": True,
            "concept": [{"code": code} for code in used] + [{"code": code, "property": retired} for code in gone],
        }
    )  # fmt: skip


CURRENCIES = _read()
"""The code system, without names: they differ by source and language."""
