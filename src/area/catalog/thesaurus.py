"""Words that say nothing of what is looked for, and words that mean much the same in any service.

What people call one service or component stands with it: `Service.synonyms`.
"""

STOP_WORDS = {
    "en": """
a about an and are as at be been by can could do does each else every for from get gets got had has have how i if im
in into is it its just like me my myself of on once one or our s say should so some somebody someone something t than
that the their them then there these they thing this those to too up us via want was way we what when whenever where
whether which while who will with would you your
""",
    "fr": """
a ai ainsi alors as au aux avec avoir c ca car ce ceci cela ces cet cette chaque chez comme comment d dans de des donc
du elle en encore es est et etre eu eux faire fait fois il ils j je l la le les leur leurs lui m ma mais me mes moi
mon n ne nos notre nous on ont ou par pas peu peut plus pour puis qu quand que quel quelle quelqu quelque qui quoi s
sa sans se ses si soit son sont sous sur t ta te tes toi ton tous tout toute toutes tu un une vers veux voir vos votre
vous y
""",
}

GROUPS = """
new added created incoming received arrives appears another | nouveau nouvel nouvelle ajoute recu recue recois recevoir
create add make insert append open write draft save | creer ajouter ecrire ouvrir inserer enregistrer
send post publish share write | envoyer envoie poster publier partager
save store upload write keep backup | sauvegarder enregistrer deposer stocker envoyer
change changes update modify edit | changer modifier maj modifie mise
delete remove cancel | supprimer retirer annuler
cancelled canceled | annule annulee
complete completed done finish finished close ended | termine terminee fini finie acheve
fail failed fails failure error broken wrong | echec echoue erreur panne
start begin begins starts launch run trigger | lancer demarrer commencer executer declencher
stop pause halt | arreter suspendre
reply answer respond | repondre reponse
message messages dm chat text msg | message
mail email mails | courriel mel courrier mail email
photo picture image pic | photo image
song track music tune | chanson titre morceau musique
file document doc | fichier document
folder directory | dossier repertoire
customer client contact buyer | acheteur client contact
task todo reminder | tache rappel
issue ticket bug | ticket bug
event meeting appointment | evenement reunion rdv
order purchase sale | commande achat vente
payment pay pays paid charge | paiement paye payee payer
member user person people | membre utilisateur personne
join joins joined | rejoint rejoindre
follower subscriber fan | abonne
above exceeds exceed over high rises | dessus depasse eleve haut
below under low drops falls | dessous baisse bas
sheet spreadsheet | tableur feuille
row line record | ligne enregistrement
like liked likes favourite favorite love | aime aimee favori
repo repository | depot
status state | statut etat
notify alert warn tell ping notification | prevenir previens avertir notifier alerter alerte signaler notification
buy bought buys sold sell | achete acheter vendu vendre
move moved moves | deplacer deplace deplacee
sent send sends | envoye envoyer envoyee
write wrote written writes | ecrit ecrire
fall fell fallen falls drop dropped | tombe baisse
rise rose risen rises | monte augmente hausse
week weekly | semaine hebdomadaire
month monthly | mois mensuel
day daily | jour quotidien
hour hourly | heure
film movie video clip | film video
house home | maison
phone mobile smartphone | telephone mobile smartphone portable
company business | entreprise societe
site website web page | site web page
light lights lamp bulb | lumiere lampe ampoule
"""  # one a line: English, French
